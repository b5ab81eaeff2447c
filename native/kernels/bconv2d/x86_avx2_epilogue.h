// From sums of differing bits to reals and bits, 32 outputs of one or two pixels at a time. Part of x86_avx2.cc alone,
// built with its flags.
#ifndef REACTNET_KERNELS_BCONV2D_X86_AVX2_EPILOGUE_H_
#define REACTNET_KERNELS_BCONV2D_X86_AVX2_EPILOGUE_H_

#include <immintrin.h>
#include <string.h>

#include "bconv2d/bconv2d.h"

namespace reactnet {
namespace {

// All 32 outputs of a block, or the first few; r is a register of eight.
struct AllLanes {
  __m256 load(const float* p, int r) const { return _mm256_loadu_ps(p + r * 8); }
  void store(float* p, int r, __m256 v) const { _mm256_storeu_ps(p + r * 8, v); }
  uint32_t bits(uint32_t signs) const { return signs; }
  static constexpr int64_t count = 32;
};

struct FirstLanes {
  int64_t count;

  __m256i mask(int r) const {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(count) - r * 8), lane);
  }
  __m256 load(const float* p, int r) const { return _mm256_maskload_ps(p + r * 8, mask(r)); }
  void store(float* p, int r, __m256 v) const { _mm256_maskstore_ps(p + r * 8, mask(r), v); }
  uint32_t bits(uint32_t signs) const { return signs & ((1u << count) - 1u); }
};

// Sums of differing bits of 32 outputs, even and odd ones apart, u16.
struct Sums {
  __m256i even, odd;
};

// The steps behind the sums: known to be all but shift_out, all, scale and bits alone, none but to write reals; or
// looked for.
enum class Steps { kMost, kAll, kBits, kNone, kSome };

constexpr bool known(Steps steps) { return steps != Steps::kSome; }
constexpr bool has_reals(Steps steps) { return steps == Steps::kMost || steps == Steps::kAll; }
constexpr bool has_bits(Steps steps) { return known(steps) && steps != Steps::kNone; }

// A block of 32 outputs: the parameters from its first output on, and where its pixels begin.
struct Block {
  const float *scale, *shift, *slope, *shift_out, *next_shift, *shortcut;
  float* real;
  uint64_t* bits;
  int64_t outputs, channels, words;  // of a pixel: of the map, of the shortcut, of the bits
  int64_t channel;                   // of the shortcut
  int64_t half;                      // of a word of bits: 0 or 4 bytes
  bool whole_word;                   // the lower half, and nobody writes the upper one
};

// null stays null
template <class T>
inline T* offset(T* p, int64_t n) {
  return p == nullptr ? p : p + n;
}

inline Block block_at(const BConv2dArgs& args, int64_t o) {
  const int64_t outputs = args.shape.outputs;
  const int64_t channel = args.shortcut != nullptr ? o % args.shortcut_channels : 0;
  return {offset(args.scale, o),
          offset(args.shift, o),
          offset(args.slope, o),
          offset(args.shift_out, o),
          offset(args.next_shift, o),
          args.shortcut,
          offset(args.out_real, o),
          offset(args.out_bits, o / 64),
          outputs,
          args.shortcut_channels,
          (outputs + 63) / 64,
          channel,
          o % 64 / 8,
          o % 64 == 0 && outputs - o <= 32};
}

// Eight shortcut channels from c on, which start again at zero behind the last.
template <class Lanes>
inline __m256 load_shortcut(const float* pixel, int64_t channels, int64_t c, const Lanes& lanes, int r) {
  if (c + lanes.count <= channels) {
    return lanes.load(pixel + c, r);
  }
  float v[8] = {};
  for (int64_t i = 0; i < 8 && r * 8 + i < lanes.count; ++i) {
    v[i] = pixel[(c + r * 8 + i) % channels];
  }
  return _mm256_loadu_ps(v);
}

// 16-bit sums of one pixel as they follow each other: outputs 0-7 and 16-23, 8-15 and 24-31.
struct Ordered {
  __m256i low, high;
  explicit Ordered(const Sums& s)
      : low(_mm256_unpacklo_epi16(s.even, s.odd)), high(_mm256_unpackhi_epi16(s.even, s.odd)) {}
  __m128i eight(int r) const {
    const __m256i v = r % 2 == 0 ? low : high;
    return r < 2 ? _mm256_castsi256_si128(v) : _mm256_extracti128_si256(v, 1);
  }
};

// Bits in the order of the lanes from the masks of four registers, packed two by two.
inline uint32_t bits_of(__m256i first, __m256i second) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(first, second), order);
  return static_cast<uint32_t>(_mm256_movemask_epi8(bytes));
}

inline void store_bits(const Block& block, int64_t pixel, uint32_t bits) {
  uint64_t* word = block.bits + pixel * block.words;
  if (block.whole_word) {
    *word = bits;
  } else {
    memcpy(reinterpret_cast<char*>(word) + block.half, &bits, 4);
  }
}

// Eight outputs of a pixel: from their sums to reals, which are written; returns the mask of the bits.
template <Steps kSteps, class Lanes>
inline __m256i finish_eight(const Block& block, const Lanes& lanes, int r, __m128i halves, uint32_t odds,
                            const int32_t* constants, const float* shortcut, float* real) {
  const __m256 zero = _mm256_setzero_ps();
  const __m256i all = _mm256_sub_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(constants + r * 8)),
                                       _mm256_set1_epi32(static_cast<int32_t>(odds)));
  const __m256i differing = _mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 2);
  __m256 y = _mm256_cvtepi32_ps(_mm256_sub_epi32(all, differing));
  if (has_bits(kSteps) || (!known(kSteps) && block.scale != nullptr)) {
    y = _mm256_add_ps(_mm256_mul_ps(y, lanes.load(block.scale, r)), lanes.load(block.shift, r));
  }
  if (has_reals(kSteps)) {
    y = _mm256_add_ps(y, lanes.load(shortcut + block.channel, r));
  } else if (!known(kSteps) && block.shortcut != nullptr) {
    y = _mm256_add_ps(y, load_shortcut(shortcut, block.channels, block.channel, lanes, r));
  }
  if (has_reals(kSteps) || (!known(kSteps) && block.slope != nullptr)) {
    const __m256 scaled = _mm256_mul_ps(lanes.load(block.slope, r), y);
    y = _mm256_blendv_ps(scaled, y, _mm256_cmp_ps(y, zero, _CMP_GE_OQ));
  }
  if (kSteps == Steps::kAll || (!known(kSteps) && block.shift_out != nullptr)) {
    y = _mm256_add_ps(y, lanes.load(block.shift_out, r));
  }
  if (has_reals(kSteps) || kSteps == Steps::kNone || (!known(kSteps) && block.real != nullptr)) {
    lanes.store(real, r, y);
  }
  if (kSteps == Steps::kNone || (!known(kSteps) && block.bits == nullptr)) {
    return _mm256_setzero_si256();
  }
  return _mm256_castps_si256(_mm256_cmp_ps(_mm256_add_ps(y, lanes.load(block.next_shift, r)), zero, _CMP_GE_OQ));
}

// A block of one pixel.
template <Steps kSteps, class Lanes>
inline void finish_block(const Block& block, const Lanes& lanes, int64_t pixel, const Sums& sums, uint32_t odds,
                         const int32_t* constants) {
  const Ordered n(sums);
  const float* shortcut = block.shortcut == nullptr ? nullptr : block.shortcut + pixel * block.channels;
  float* real = block.real == nullptr ? nullptr : block.real + pixel * block.outputs;
  __m256i masks[4];
  for (int r = 0; r < 4; ++r) {
    masks[r] = finish_eight<kSteps>(block, lanes, r, n.eight(r), odds, constants, shortcut, real);
  }
  if (has_bits(kSteps) || (!known(kSteps) && block.bits != nullptr)) {
    const uint32_t bits = bits_of(_mm256_packs_epi32(masks[0], masks[1]), _mm256_packs_epi32(masks[2], masks[3]));
    store_bits(block, pixel, lanes.bits(bits));
  }
}

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_BCONV2D_X86_AVX2_EPILOGUE_H_
