// libFuzzer: plan and run of whatever the reader accepts, fused and unfused, on an ISA of the input's choice. Both must
// give the same bits: the plan only fuses.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "fuzz/packed.h"
#include "isa.h"
#include "reactnet.h"

namespace {

constexpr std::uint64_t kMostArena = 1 << 22;    // what takes longer than it teaches is left out
constexpr std::uint64_t kMostWeights = 1 << 24;  // bytes, repacked

struct Opened {
  reactnet_model* model = nullptr;
  ~Opened() { reactnet_model_free(model); }
};

[[noreturn]] void stop(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

std::vector<float> run(const reactnet_model* model, const reactnet_info& info, std::uint32_t flags,
                       const std::vector<std::uint8_t>& image) {
  reactnet_error error = {};
  error.size = sizeof error;
  reactnet_context* context = nullptr;
  if (reactnet_context_create(model, flags, &context, &error) != REACTNET_OK) {
    stop(error.message);
  }
  std::vector<float> logits(info.classes);
  if (reactnet_run_u8(context, image.data(), 1, logits.data(), &error) != REACTNET_OK) {
    stop(error.message);
  }
  reactnet_context_free(context);
  return logits;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 16) {
    return 0;
  }
  const auto isa = static_cast<reactnet::Isa>(data[size - 1] % reactnet::kIsas);
  if (!reactnet::isa_available(isa)) {
    return 0;
  }
  const std::vector<std::uint8_t> right = reactnet::with_right_hash(data, size);
  reactnet_options options = {sizeof(reactnet_options), 1, reactnet::isa_name(isa)};
  Opened opened;
  if (reactnet_model_open_memory(right.data(), right.size(), &options, &opened.model, nullptr) != REACTNET_OK) {
    return 0;
  }
  reactnet_info info = {};
  info.size = sizeof info;
  reactnet_model_info(opened.model, &info, nullptr);
  const std::size_t pixels = std::size_t{info.height} * info.width * info.channels;
  if (info.arena_bytes > kMostArena || info.weight_bytes > kMostWeights || pixels > kMostArena) {
    return 0;
  }
  std::vector<std::uint8_t> image(pixels);
  for (std::size_t i = 0; i < pixels; ++i) {
    image[i] = right[i % right.size()];
  }
  const std::vector<float> fused = run(opened.model, info, 0, image);
  const std::vector<float> unfused = run(opened.model, info, REACTNET_KEEP_VALUES, image);
  if (std::memcmp(fused.data(), unfused.data(), fused.size() * sizeof(float)) != 0) {
    stop("the fused run has other bits");
  }
  return 0;
}
