// From counts of differing bits to reals and bits, eight outputs at a time. Part of x86_avx2.cc alone, built with its flags.
#ifndef REACTNET_KERNELS_BCONV2D_X86_AVX2_EPILOGUE_H_
#define REACTNET_KERNELS_BCONV2D_X86_AVX2_EPILOGUE_H_

#include <immintrin.h>

#include "bconv2d/bconv2d.h"

namespace reactnet {
namespace {

// All lanes, or the first few where outputs end inside the eight.
struct AllLanes {
  __m256 load(const float* p) const { return _mm256_loadu_ps(p); }
  void store(float* p, __m256 v) const { _mm256_storeu_ps(p, v); }
  uint32_t bits(int mask) const { return static_cast<uint32_t>(mask); }
  static constexpr int64_t count = 8;
};

struct FirstLanes {
  __m256i mask;
  int64_t count;

  explicit FirstLanes(int64_t n)
      : mask(_mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))),
        count(n) {}
  __m256 load(const float* p) const { return _mm256_maskload_ps(p, mask); }
  void store(float* p, __m256 v) const { _mm256_maskstore_ps(p, mask, v); }
  uint32_t bits(int sign_mask) const { return static_cast<uint32_t>(sign_mask) & ((1u << count) - 1u); }
};

// Eight shortcut channels from `first` on, which start again at zero behind the last.
template <class Lanes>
__m256 load_shortcut(const BConv2dArgs& args, const Lanes& lanes, const float* pixel, int64_t first) {
  const int64_t channels = args.shortcut_channels;
  if (channels == args.shape.outputs) {
    return lanes.load(pixel + first);
  }
  int64_t c = static_cast<int64_t>(static_cast<uint32_t>(first) % static_cast<uint32_t>(channels));
  if (c + lanes.count <= channels) {
    return lanes.load(pixel + c);
  }
  float v[8] = {};
  for (int64_t i = 0; i < lanes.count; ++i) {
    v[i] = pixel[c];
    c = c + 1 == channels ? 0 : c + 1;
  }
  return _mm256_loadu_ps(v);
}

// Outputs o to o + 7 of a pixel from their sums; returns their bits.
template <class Lanes>
uint32_t finish_lanes(const BConv2dArgs& args, const Lanes& lanes, int64_t pixel, int64_t o, __m256i acc) {
  const __m256 zero = _mm256_setzero_ps();
  __m256 y = _mm256_cvtepi32_ps(acc);
  if (args.scale != nullptr) {
    y = _mm256_mul_ps(y, lanes.load(args.scale + o));
    y = _mm256_add_ps(y, lanes.load(args.shift + o));
  }
  if (args.shortcut != nullptr) {
    y = _mm256_add_ps(y, load_shortcut(args, lanes, args.shortcut + pixel * args.shortcut_channels, o));
  }
  if (args.slope != nullptr) {
    const __m256 negative = _mm256_mul_ps(lanes.load(args.slope + o), y);
    y = _mm256_blendv_ps(negative, y, _mm256_cmp_ps(y, zero, _CMP_GE_OQ));
  }
  if (args.shift_out != nullptr) {
    y = _mm256_add_ps(y, lanes.load(args.shift_out + o));
  }
  if (args.out_real != nullptr) {
    lanes.store(args.out_real + pixel * args.shape.outputs + o, y);
  }
  if (args.out_bits == nullptr) {
    return 0;
  }
  const __m256 next = _mm256_add_ps(y, lanes.load(args.next_shift + o));
  return lanes.bits(_mm256_movemask_ps(_mm256_cmp_ps(next, zero, _CMP_GE_OQ)));
}

// Outputs first to first + count - 1 (count <= 64, first a multiple of 64) of a pixel: sums are base - 2 * differing, and
// 2 * ones more where ones is given.
void finish(const BConv2dArgs& args, int64_t pixel, int64_t first, int64_t count, int32_t base, const uint16_t* differing,
            const int32_t* ones) {
  const __m256i start = _mm256_set1_epi32(base);
  uint64_t word = 0;
  for (int64_t i = 0; i < count; i += 8) {
    __m256i n = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(differing + i)));
    if (ones != nullptr) {
      n = _mm256_sub_epi32(n, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ones + i)));
    }
    const __m256i acc = _mm256_sub_epi32(start, _mm256_slli_epi32(n, 1));
    const uint32_t bits = count - i >= 8 ? finish_lanes(args, AllLanes(), pixel, first + i, acc)
                                         : finish_lanes(args, FirstLanes(count - i), pixel, first + i, acc);
    word |= static_cast<uint64_t>(bits) << i;
  }
  if (args.out_bits != nullptr) {
    args.out_bits[pixel * ((args.shape.outputs + 63) / 64) + first / 64] = word;
  }
}

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_BCONV2D_X86_AVX2_EPILOGUE_H_
