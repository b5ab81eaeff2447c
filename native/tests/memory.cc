// Memory that runs out at every allocation of load, plan and run, one after the other, and threads that cannot be
// started: each is an error with words, nothing leaks, and what was there before still works.  memory FILE.rnet...
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <new>

#include "packed_files.h"

namespace {

std::atomic<long> live{0};    // blocks that `operator new` gave and nobody has given back
std::atomic<long> left{-1};   // allocations until one fails; below 0: none does
std::atomic<bool> no_threads{false};

void* allocate(std::size_t size) {
  if (left.load() >= 0 && left.fetch_sub(1) == 0) {
    throw std::bad_alloc();
  }
  void* block = std::malloc(size == 0 ? 1 : size);
  if (block == nullptr) {
    throw std::bad_alloc();
  }
  ++live;
  return block;
}

void give_back(void* block) noexcept {
  live -= block != nullptr ? 1 : 0;
  std::free(block);
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* block) noexcept { give_back(block); }
void operator delete[](void* block) noexcept { give_back(block); }
void operator delete(void* block, std::size_t) noexcept { give_back(block); }
void operator delete[](void* block, std::size_t) noexcept { give_back(block); }

// In place of the system's, for libstdc++ too: a thread is what a run needs besides memory.
extern "C" __attribute__((visibility("default"))) int pthread_create(pthread_t* thread,
                                                                     const pthread_attr_t* attributes,
                                                                     void* (*start)(void*), void* argument) {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  return no_threads ? EAGAIN : create(thread, attributes, start, argument);
}

namespace {

using packed_files::need;

// Lets allocation 0, 1, 2... of the call fail until none is left to fail; `undo` frees what a call that succeeds makes.
// Returns the number of allocations.
long starve(const char* what, const std::function<reactnet_status(reactnet_error*)>& body,
            const std::function<void()>& undo) {
  bool again = false;
  for (long allowed = 0;; allowed += again ? 0 : 1) {
    reactnet_error error = {};
    error.size = sizeof error;
    const long before = live;
    left = allowed;
    const reactnet_status status = body(&error);
    const bool starved = left < 0;
    left = -1;
    if (status == REACTNET_OK) {
      undo();
    }
    const long leaked = live - before;
    const std::string where = std::string(what) + ", allocation " + std::to_string(allowed) + ": ";
    need(leaked == 0 || !again, where + std::to_string(leaked) + " blocks leaked");
    again = leaked != 0;  // a table that is made once and kept, or a leak: the second time tells
    if (status == REACTNET_OK) {
      if (!starved && !again) {
        return allowed;
      }
      continue;  // an allocation that the call can do without
    }
    need(starved && status == REACTNET_ERROR_MEMORY, where + "status " + std::to_string(status) + ", not MEMORY");
    need(error.message[0] != '\0' && error.hint[0] != '\0', where + "no words");
  }
}

struct Counts {
  long load = 0;
  long plan = 0;
  long run = 0;
};

reactnet_status open(const std::vector<char>& file, unsigned threads, reactnet_model** out, reactnet_error* error) {
  const reactnet_options options = {sizeof(reactnet_options), threads, nullptr};
  return reactnet_model_open_memory(file.data(), file.size(), &options, out, error);
}

// Threads that cannot be had, or no memory for them: an error, after which the same context runs as it should.
long starve_the_run(const std::vector<char>& file, std::uint32_t flags) {
  long most = 0;
  std::vector<float> wanted;
  for (long allowed = -1;; ++allowed) {  // -1: the threads are refused, not the memory
    reactnet_model* model = nullptr;
    reactnet_context* context = nullptr;
    need(open(file, 3, &model, nullptr) == REACTNET_OK, "open");
    need(reactnet_context_create(model, flags, &context, nullptr) == REACTNET_OK, "context");
    const reactnet_info info = packed_files::info_of(model);
    const std::vector<std::uint8_t> images = packed_files::images_for(info, 2);
    std::vector<float> logits(2 * info.classes);
    reactnet_error error = {};
    error.size = sizeof error;
    no_threads = allowed < 0;
    left = allowed;
    const reactnet_status status = reactnet_run_u8(context, images.data(), 2, logits.data(), &error);
    const bool starved = left < 0;
    left = -1;
    no_threads = false;
    const std::string where = "run, allocation " + std::to_string(allowed) + ": ";
    if (status != REACTNET_OK) {
      need(status == REACTNET_ERROR_MEMORY && error.message[0] != '\0' && error.hint[0] != '\0', where + "not MEMORY");
      need(reactnet_run_u8(context, images.data(), 2, logits.data(), nullptr) == REACTNET_OK, where + "then unusable");
    }
    need(allowed >= 0 || status != REACTNET_OK, where + "no thread could be started, and the run says OK");
    if (wanted.empty()) {
      wanted = logits;
    }
    need(std::memcmp(wanted.data(), logits.data(), wanted.size() * sizeof(float)) == 0, where + "other bits");
    reactnet_context_free(context);
    reactnet_model_free(model);
    most = allowed;
    if (allowed >= 0 && status == REACTNET_OK && !starved) {
      return most;
    }
  }
}

Counts try_file(const char* path) {
  const std::vector<char> file = packed_files::read(path);
  Counts counts;
  reactnet_model* model = nullptr;
  const auto free_model = [&] {
    reactnet_model_free(model);
    model = nullptr;
  };
  counts.load += starve("load", [&](reactnet_error* error) { return open(file, 3, &model, error); }, free_model);
  counts.load += starve(
      "load from disk", [&](reactnet_error* error) { return reactnet_model_open(path, nullptr, &model, error); },
      free_model);
  need(open(file, 3, &model, nullptr) == REACTNET_OK, "open");
  reactnet_context* context = nullptr;
  for (const std::uint32_t flags : {0u, REACTNET_KEEP_VALUES}) {
    counts.plan += starve(
        "plan", [&](reactnet_error* error) { return reactnet_context_create(model, flags, &context, error); },
        [&] { reactnet_context_free(context); });
  }
  const reactnet_info info = packed_files::info_of(model);
  const std::vector<std::uint8_t> pixels(std::size_t{97} * 61 * info.channels, 100);
  std::vector<std::uint8_t> image(std::size_t{info.height} * info.width * info.channels);
  counts.run += starve(
      "preprocess",
      [&](reactnet_error* error) { return reactnet_preprocess(model, pixels.data(), 97, 61, image.data(), error); },
      [] {});
  free_model();
  counts.run += starve_the_run(file, 0) + starve_the_run(file, REACTNET_KEEP_VALUES);
  return counts;
}

}  // namespace

int main(int count, char** paths) {
  need(count > 1, "give packed files");
  for (int i = 1; i < count; ++i) {
    const Counts counts = try_file(paths[i]);
    need(counts.load > 0 && counts.plan > 0 && counts.run > 0, "an allocation was made to fail in each of the three");
    std::printf("memory: %s: %ld allocations of load, %ld of plan, %ld of run, each made to fail\n", paths[i],
                counts.load, counts.plan, counts.run);
  }
  return 0;
}
