// Memory that runs out at every allocation of load, plan and run, one after the other, that allocation alone and all
// from it on, and threads that cannot be started: each is an error with words, nothing leaks, and what was there before
// still works. Without a sanitizer malloc itself runs out, so that the C library's allocations count too; with one,
// which has a malloc of its own, C++'s do.  memory FILE.rnet...
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <new>

#include "packed_files.h"

namespace {

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define REACTNET_OWN_MALLOC 1
#else
#define REACTNET_OWN_MALLOC 0
#endif

std::atomic<long> live{0};           // blocks given and not given back
std::atomic<long> left{-1};          // allocations until one fails; below 0: none does
std::atomic<bool> lasting{false};    // all allocations behind the one that fails do as well
std::atomic<bool> starved{false};    // one has failed
std::atomic<long> threads_left{-1};  // threads that may be started; below 0: any number

bool runs_out() {
  long now = left;
  while (now > 0 && !left.compare_exchange_weak(now, now - 1)) {
  }
  if (now != 0) {
    return false;
  }
  starved = true;
  if (!lasting) left = -1;
  return true;
}

void* counted(void* block) {
  live += block != nullptr ? 1 : 0;
  return block;
}

void* allocate(std::size_t size) {
#if REACTNET_OWN_MALLOC
  void* block = std::malloc(size == 0 ? 1 : size);
#else
  void* block = runs_out() ? nullptr : counted(std::malloc(size == 0 ? 1 : size));
#endif
  if (block == nullptr) {
    throw std::bad_alloc();
  }
  return block;
}

void give_back(void* block) noexcept {
#if !REACTNET_OWN_MALLOC
  live -= block != nullptr ? 1 : 0;
#endif
  std::free(block);
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* block) noexcept { give_back(block); }
void operator delete[](void* block) noexcept { give_back(block); }
void operator delete(void* block, std::size_t) noexcept { give_back(block); }
void operator delete[](void* block, std::size_t) noexcept { give_back(block); }

#define REACTNET_IN_PLACE extern "C" __attribute__((visibility("default")))

#if REACTNET_OWN_MALLOC
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);
}

namespace {

void* none() {
  errno = ENOMEM;
  return nullptr;
}

}  // namespace

REACTNET_IN_PLACE void* malloc(std::size_t size) noexcept { return runs_out() ? none() : counted(__libc_malloc(size)); }
REACTNET_IN_PLACE void* calloc(std::size_t count, std::size_t size) noexcept {
  return runs_out() ? none() : counted(__libc_calloc(count, size));
}
REACTNET_IN_PLACE void* realloc(void* block, std::size_t size) noexcept {
  if (runs_out()) return none();
  return block == nullptr ? counted(__libc_realloc(block, size)) : __libc_realloc(block, size);
}
REACTNET_IN_PLACE void* memalign(std::size_t alignment, std::size_t size) noexcept {
  return runs_out() ? none() : counted(__libc_memalign(alignment, size));
}
REACTNET_IN_PLACE void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  return memalign(alignment, size);
}
REACTNET_IN_PLACE int posix_memalign(void** out, std::size_t alignment, std::size_t size) noexcept {
  void* block = memalign(alignment, size);
  if (block == nullptr) return ENOMEM;
  *out = block;
  return 0;
}
REACTNET_IN_PLACE void free(void* block) noexcept {
  live -= block != nullptr ? 1 : 0;
  __libc_free(block);
}
#endif

// The system may decline: advice is all it is.
REACTNET_IN_PLACE int madvise(void*, std::size_t, int) noexcept {
  errno = ENOMEM;
  return -1;
}

// In place of the system's, for libstdc++ too: a thread is what a run needs besides memory.
REACTNET_IN_PLACE int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                                     void* argument) {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  if (threads_left == 0) return EAGAIN;
  threads_left -= threads_left > 0 ? 1 : 0;
  return create(thread, attributes, start, argument);
}

namespace {

using packed_files::need;

// `body` with memory for some allocations only; below 0 for all. Afterwards `starved` says if it was not enough.
reactnet_status with_memory_for(long allocations, bool last, const std::function<reactnet_status()>& body) {
  starved = false;
  lasting = last;
  left = allocations;
  const reactnet_status status = body();
  left = -1;
  return status;
}

// Lets allocation 0, 1, 2... of the call fail until none is left to fail; `undo` frees what a call that succeeds makes.
// Returns the number of allocations.
long starve(const char* what, bool last, const std::function<reactnet_status(reactnet_error*)>& body,
            const std::function<void()>& undo) {
  bool again = false;
  for (long allowed = 0;; allowed += again ? 0 : 1) {
    reactnet_error error = {};
    error.size = sizeof error;
    const long before = live;
    const reactnet_status status = with_memory_for(allowed, last, [&] { return body(&error); });
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

constexpr unsigned kThreads = 3;

// Threads that cannot be had, or no memory for them: an error, after which the same context runs as it should.
long starve_the_run(const std::vector<char>& file, std::uint32_t flags, bool last) {
  std::vector<float> wanted;
  for (long allowed = 1 - long{kThreads};; ++allowed) {  // below 0: the threads are refused, the last one first
    reactnet_model* model = nullptr;
    reactnet_context* context = nullptr;
    need(open(file, kThreads, &model, nullptr) == REACTNET_OK, "open");
    need(reactnet_context_create(model, flags, &context, nullptr) == REACTNET_OK, "context");
    const reactnet_info info = packed_files::info_of(model);
    const std::vector<std::uint8_t> images = packed_files::images_for(info, 2);
    std::vector<float> logits(2 * info.classes);
    reactnet_error error = {};
    error.size = sizeof error;
    threads_left = allowed < 0 ? -1 - allowed : -1;
    const reactnet_status status = with_memory_for(
        allowed, last, [&] { return reactnet_run_u8(context, images.data(), 2, logits.data(), &error); });
    threads_left = -1;
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
    if (allowed >= 0 && status == REACTNET_OK && !starved) {
      return allowed;
    }
  }
}

Counts try_file(const char* path, bool last) {
  const std::vector<char> file = packed_files::read(path);
  Counts counts;
  reactnet_model* model = nullptr;
  const auto free_model = [&] {
    reactnet_model_free(model);
    model = nullptr;
  };
  counts.load += starve(
      "load", last, [&](reactnet_error* error) { return open(file, 3, &model, error); }, free_model);
  counts.load += starve(
      "load from disk", last, [&](reactnet_error* error) { return reactnet_model_open(path, nullptr, &model, error); },
      free_model);
  need(open(file, 3, &model, nullptr) == REACTNET_OK, "open");
  reactnet_context* context = nullptr;
  for (const std::uint32_t flags : {0u, REACTNET_KEEP_VALUES}) {
    counts.plan += starve(
        "plan", last, [&](reactnet_error* error) { return reactnet_context_create(model, flags, &context, error); },
        [&] { reactnet_context_free(context); });
  }
  const reactnet_info info = packed_files::info_of(model);
  const std::vector<std::uint8_t> pixels(std::size_t{97} * 61 * info.channels, 100);
  std::vector<std::uint8_t> image(std::size_t{info.height} * info.width * info.channels);
  counts.run += starve(
      "preprocess", last,
      [&](reactnet_error* error) { return reactnet_preprocess(model, pixels.data(), 97, 61, image.data(), error); },
      [] {});
  free_model();
  counts.run += starve_the_run(file, 0, last) + starve_the_run(file, REACTNET_KEEP_VALUES, last);
  return counts;
}

}  // namespace

int main(int count, char** paths) {
  need(count > 1, "give packed files");
  for (int i = 1; i < count; ++i) {
    for (const bool last : {false, true}) {
      const Counts counts = try_file(paths[i], last);
      need(counts.load > 0 && counts.plan > 0 && counts.run > 0, "an allocation was made to fail in each of the three");
      std::printf("memory: %s: %ld allocations of load, %ld of plan, %ld of run, each made to fail%s%s\n", paths[i],
                  counts.load, counts.plan, counts.run, last ? " with all behind it" : "",
                  REACTNET_OWN_MALLOC ? ", the C library's among them" : "");
    }
  }
  return 0;
}
