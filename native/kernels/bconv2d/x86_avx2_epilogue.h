// From counts of differing bits to reals and bits, eight outputs at a time. Part of x86_avx2.cc alone, built with its
// flags.
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

// The sums of up to kPixels neighbouring pixels: pixel m has base[m] - 2 * differing[m * kTileOutputs + ...].
constexpr int64_t kTileOutputs = 64;

struct Sums {
  int64_t pixel;  // the first
  const uint16_t* differing;
  int32_t base[4];
};

// Outputs o to o + 7 of kPixels pixels, side by side: a parameter is loaded once for all, and their latencies overlap.
template <int kPixels, class Lanes>
inline void finish_lanes(const BConv2dArgs& args, const Lanes& lanes, const Sums& sums, int64_t o, uint64_t* words) {
  const __m256 zero = _mm256_setzero_ps();
  const int64_t in_word = o % kTileOutputs;
  __m256 y[kPixels];
  for (int m = 0; m < kPixels; ++m) {
    const uint16_t* from = sums.differing + m * kTileOutputs + in_word;
    const __m256i n = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    y[m] = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_set1_epi32(sums.base[m]), _mm256_slli_epi32(n, 1)));
  }
  if (args.scale != nullptr) {
    const __m256 scale = lanes.load(args.scale + o);
    const __m256 shift = lanes.load(args.shift + o);
    for (int m = 0; m < kPixels; ++m) {
      y[m] = _mm256_add_ps(_mm256_mul_ps(y[m], scale), shift);
    }
  }
  if (args.shortcut != nullptr) {
    const float* pixel = args.shortcut + sums.pixel * args.shortcut_channels;
    for (int m = 0; m < kPixels; ++m) {
      y[m] = _mm256_add_ps(y[m], load_shortcut(args, lanes, pixel + m * args.shortcut_channels, o));
    }
  }
  if (args.slope != nullptr) {
    const __m256 slope = lanes.load(args.slope + o);
    for (int m = 0; m < kPixels; ++m) {
      y[m] = _mm256_blendv_ps(_mm256_mul_ps(slope, y[m]), y[m], _mm256_cmp_ps(y[m], zero, _CMP_GE_OQ));
    }
  }
  if (args.shift_out != nullptr) {
    const __m256 shift = lanes.load(args.shift_out + o);
    for (int m = 0; m < kPixels; ++m) {
      y[m] = _mm256_add_ps(y[m], shift);
    }
  }
  if (args.out_real != nullptr) {
    for (int m = 0; m < kPixels; ++m) {
      lanes.store(args.out_real + (sums.pixel + m) * args.shape.outputs + o, y[m]);
    }
  }
  if (args.out_bits != nullptr) {
    const __m256 next = lanes.load(args.next_shift + o);
    for (int m = 0; m < kPixels; ++m) {
      const int signs = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_add_ps(y[m], next), zero, _CMP_GE_OQ));
      words[m] |= static_cast<uint64_t>(lanes.bits(signs)) << in_word;
    }
  }
}

// The outputs from `first` on, a multiple of 64, up to the next one.
template <int kPixels>
void finish(const BConv2dArgs& shared, const Sums& sums, int64_t first) {
  const BConv2dArgs args = shared;  // a copy that no store can change
  const int64_t end = args.shape.outputs < first + kTileOutputs ? args.shape.outputs : first + kTileOutputs;
  uint64_t words[kPixels] = {};
  int64_t o = first;
  for (; o + 8 <= end; o += 8) {
    finish_lanes<kPixels>(args, AllLanes(), sums, o, words);
  }
  if (o < end) {
    finish_lanes<kPixels>(args, FirstLanes(end - o), sums, o, words);
  }
  for (int m = 0; args.out_bits != nullptr && m < kPixels; ++m) {
    args.out_bits[(sums.pixel + m) * ((args.shape.outputs + 63) / 64) + first / 64] = words[m];
  }
}

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_BCONV2D_X86_AVX2_EPILOGUE_H_
