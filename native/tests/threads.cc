// One model used from many threads in every way that the header allows, for ThreadSanitizer; results must keep their
// bits.  threads FILE.rnet...   Exit status 1 at the first wrong answer (a race ends the process by the sanitizer).
#include <atomic>
#include <cstring>
#include <functional>
#include <thread>

#include "packed_files.h"

namespace {

using packed_files::need;

constexpr std::size_t kImages = 3;
constexpr unsigned kCallers = 4;  // threads of the host program
constexpr unsigned kPool = 3;     // threads of a model
constexpr int kRounds = 12;

struct Case {
  std::vector<char> file;
  std::vector<std::uint8_t> images;
  std::vector<float> wanted;  // by one thread, alone
  std::uint32_t classes;

  bool same(const std::vector<float>& logits) const {
    return std::memcmp(logits.data(), wanted.data(), wanted.size() * sizeof(float)) == 0;
  }
};

reactnet_model* open(const std::vector<char>& file, unsigned threads) {
  const reactnet_options options = {sizeof(reactnet_options), threads, nullptr};
  reactnet_model* model = nullptr;
  need(reactnet_model_open_memory(file.data(), file.size(), &options, &model, nullptr) == REACTNET_OK, "open");
  return model;
}

reactnet_context* context_of(const reactnet_model* model, std::uint32_t flags = 0) {
  reactnet_context* context = nullptr;
  need(reactnet_context_create(model, flags, &context, nullptr) == REACTNET_OK, "context");
  return context;
}

reactnet_status run(reactnet_context* context, const Case& of, std::vector<float>& logits) {
  logits.assign(of.wanted.size(), 7.0f);
  return reactnet_run_u8(context, of.images.data(), kImages, logits.data(), nullptr);
}

Case make_case(const char* path) {
  Case made = {packed_files::read(path), {}, {}, 0};
  reactnet_model* model = open(made.file, 1);
  const reactnet_info info = packed_files::info_of(model);
  made.images = packed_files::images_for(info, kImages);
  made.classes = info.classes;
  made.wanted.assign(kImages * info.classes, 0.0f);
  reactnet_context* context = context_of(model);
  std::vector<float> logits;
  need(run(context, made, logits) == REACTNET_OK, "the run of one thread");
  made.wanted = logits;
  reactnet_context_free(context);
  reactnet_model_free(model);
  return made;
}

void on_threads(const std::function<void(unsigned)>& work) {
  std::vector<std::thread> callers;
  for (unsigned index = 0; index < kCallers; ++index) {
    callers.emplace_back(work, index);
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
}

// Each thread has contexts of its own, made and freed while others run; meanwhile the model is asked about itself.
void contexts_of_one_model(const Case& of) {
  reactnet_model* model = open(of.file, kPool);
  on_threads([&](unsigned index) {
    std::vector<float> logits;
    for (int round = 0; round < kRounds; ++round) {
      reactnet_context* context = context_of(model, (index + static_cast<unsigned>(round)) % 2);
      need(run(context, of, logits) == REACTNET_OK && of.same(logits), "contexts of one model: other bits");
      need(packed_files::info_of(model).classes == of.classes, "info");
      need(std::strlen(reactnet_model_plan(model)) > 0 && std::strlen(reactnet_model_metadata(model)) > 0, "texts");
      reactnet_context_free(context);
    }
  });
  reactnet_model_free(model);
}

// One context: a run is right, or BUSY; so is a look at a value.
void one_context(const Case& of) {
  reactnet_model* model = open(of.file, kPool);
  reactnet_context* context = context_of(model, REACTNET_KEEP_VALUES);
  std::atomic<int> right{0};
  on_threads([&](unsigned index) {
    std::vector<float> logits;
    for (int round = 0; round < kRounds; ++round) {
      const reactnet_status status = run(context, of, logits);
      need(status == REACTNET_ERROR_BUSY || (status == REACTNET_OK && of.same(logits)), "one context: other bits");
      right += status == REACTNET_OK ? 1 : 0;
      std::size_t bytes = 0;
      const reactnet_status asked = reactnet_context_value(context, "nobody", nullptr, &bytes, nullptr);
      need(asked == REACTNET_ERROR_BUSY || asked == REACTNET_ERROR_ARGUMENT, "one context: a value of nobody");
    }
    static_cast<void>(index);
  });
  need(right > 0, "one context: every run was BUSY");
  reactnet_context_free(context);
  reactnet_model_free(model);
}

// Models that come and go at once share nothing.
void models_apart(const Case& of) {
  on_threads([&](unsigned index) {
    std::vector<float> logits;
    for (int round = 0; round < kRounds / 3; ++round) {
      reactnet_model* model = open(of.file, 1 + index % kPool);
      reactnet_context* context = context_of(model);
      need(run(context, of, logits) == REACTNET_OK && of.same(logits), "models apart: other bits");
      need(std::strlen(reactnet_system()) > 0, "system");
      reactnet_context_free(context);
      reactnet_model_free(model);
    }
  });
}

}  // namespace

int main(int count, char** paths) {
  need(count > 1, "give packed files");
  for (int i = 1; i < count; ++i) {
    const Case of = make_case(paths[i]);
    contexts_of_one_model(of);
    one_context(of);
    models_apart(of);
  }
  std::printf("threads: %d files, %u callers, pools of %u: every answer has the bits of one thread\n", count - 1,
              kCallers, kPool);
  return 0;
}
