// Eight comparisons give eight bits of a word. One pass over the map: its memory sets the speed.
#include <immintrin.h>

#include "sign/sign.h"
#include "x86_avx2_lanes.h"

namespace reactnet {
namespace {

template <class Lanes>
inline uint64_t eight(const Lanes& lanes, const float* in, const float* shift) {
  const __m256 x = _mm256_add_ps(lanes.load(in), lanes.load(shift));
  return lanes.bits(_mm256_movemask_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GE_OQ)));
}

inline uint64_t whole_word(const float* in, const float* shift) {
  uint64_t word = 0;
  for (int64_t c = 0; c < 64; c += 8) {
    word |= eight(AllLanes(), in + c, shift + c) << c;
  }
  return word;
}

uint64_t last_word(const float* in, const float* shift, int64_t count) {
  uint64_t word = 0;
  int64_t c = 0;
  for (; c + 8 <= count; c += 8) {
    word |= eight(AllLanes(), in + c, shift + c) << c;
  }
  if (c < count) {
    word |= eight(SomeLanes(count - c), in + c, shift + c) << c;
  }
  return word;
}

void run(const SignArgs& args, int64_t begin, int64_t end) {
  const int64_t whole = args.channels / 64;
  const int64_t left = args.channels % 64;
  const float* in = args.in + begin * args.channels;
  uint64_t* out = args.out + begin * (whole + (left != 0 ? 1 : 0));
  for (int64_t p = begin; p < end; ++p) {
    for (int64_t w = 0; w < whole; ++w) {
      *out++ = whole_word(in + w * 64, args.shift + w * 64);
    }
    if (left != 0) {
      *out++ = last_word(in + whole * 64, args.shift + whole * 64, left);
    }
    in += args.channels;
  }
}

}  // namespace

constexpr SignKernel sign_x86_avx2 = {"sign_x86_avx2", Isa::kAvx2, run};

}  // namespace reactnet
