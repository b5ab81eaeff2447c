#include "sign/sign.h"

namespace reactnet {
namespace {

uint64_t sign_word(const float* __restrict in, const float* __restrict shift, int64_t count) {
  uint64_t word = 0;
  for (int64_t c = 0; c < count; ++c) {
    word |= static_cast<uint64_t>(in[c] + shift[c] >= 0.0f) << c;
  }
  return word;
}

void run(const SignArgs& args, int64_t begin, int64_t end) {
  const int64_t words = (args.channels + 63) / 64;
  for (int64_t p = begin; p < end; ++p) {
    for (int64_t w = 0; w < words; ++w) {
      const int64_t left = args.channels - w * 64;
      args.out[p * words + w] =
          sign_word(args.in + p * args.channels + w * 64, args.shift + w * 64, left < 64 ? left : 64);
    }
  }
}

}  // namespace

constexpr SignKernel sign_scalar = {"sign_scalar", Isa::kScalar, run};

}  // namespace reactnet
