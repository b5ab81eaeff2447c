// What the AVX2 kernels of conv_u8 share: rows of the map as 16-bit numbers, what taps outside leave out, the results'
// last steps. Functions are static: an ISA file keeps its copy.
#ifndef REACTNET_KERNELS_CONV_U8_X86_AVX2_ROWS_H_
#define REACTNET_KERNELS_CONV_U8_X86_AVX2_ROWS_H_

#include <immintrin.h>
#include <string.h>

#include "conv_u8/conv_u8.h"
#include "conv_u8/corners.h"
#include "patch.h"

namespace reactnet {
namespace {

constexpr int64_t kBlock = 16;  // outputs of a tile
constexpr int64_t kSlack = 16;  // a row is followed by this many numbers: a copy may write 15 too many

inline int64_t padded_outputs(const ConvU8Shape& s) { return (s.outputs + kBlock - 1) / kBlock * kBlock; }

// Of a row of numbers that `pixels` outputs side by side read.
inline int64_t row_numbers(const ConvU8Shape& s, int64_t pixels) {
  return ((pixels - 1) * s.window.stride_w + s.window.kernel_w) * s.channels;
}

// Widens `count` bytes; reads sixteen at a time where `room` allows, and then writes up to 15 numbers too many.
inline void widen(int16_t* out, const uint8_t* in, int64_t count, int64_t room) {
  int64_t i = 0;
  for (; i < count && i + 16 <= room; i += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), _mm256_cvtepu8_epi16(bytes));
  }
  for (; i < count; ++i) {
    out[i] = in[i];
  }
}

// What the windows of `pixels` outputs from `p` on read of `rows` rows from their first on: one after the other,
// `stride` numbers apart, with zeros for what lies outside the map and behind.
inline void widen_rows(const ConvU8Args& args, Position p, int64_t pixels, int64_t rows, int64_t stride, int16_t* out) {
  const Window& w = args.shape.window;
  const int64_t channels = args.shape.channels;
  const int64_t numbers = row_numbers(args.shape, pixels);
  const int64_t left = p.ow * w.stride_w - w.padding_w;  // column of the first number
  const int64_t begin = (left < 0 ? -left : 0) * channels;
  const int64_t end = (w.width - left) * channels < numbers ? (w.width - left) * channels : numbers;
  const int64_t size = w.height * w.width * channels;
  for (int64_t row = 0; row < rows; ++row, out += stride) {
    const int64_t y = p.oh * w.stride_h - w.padding_h + row;
    if (y < 0 || y >= w.height || begin >= end) {
      memset(out, 0, static_cast<size_t>(stride) * sizeof(int16_t));
      continue;
    }
    const int64_t from = (y * w.width + left) * channels + begin;
    memset(out, 0, static_cast<size_t>(begin) * sizeof(int16_t));
    widen(out + begin, args.in + from, end - begin, size - from);
    memset(out + end, 0, static_cast<size_t>(stride - end) * sizeof(int16_t));
  }
}

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

inline void store(void* p, __m256i x) { _mm256_storeu_si256(static_cast<__m256i*>(p), x); }

// Two numbers side by side, everywhere.
inline __m256i pair_at(const void* p) {
  int32_t pair;
  memcpy(&pair, p, sizeof(pair));
  return _mm256_set1_epi32(pair);
}

// Minus the offsets of the taps inside, of a block of outputs of `pixels` pixels from `p` on. `base`: the packed
// weight; `first`: the block's first output.
inline void block_offsets(const ConvU8Shape& s, Position p, int64_t pixels, const int32_t* base, int64_t first,
                          int32_t* out) {
  const int64_t step = padded_outputs(s);
  const Taps rows = inside_rows(s.window, p.oh);
  const int32_t* top = base + (1 + rows.begin * (s.window.kernel_w + 1)) * step + first;
  const int32_t* bottom = base + (1 + rows.end * (s.window.kernel_w + 1)) * step + first;
  for (int64_t m = 0; m < pixels; ++m, ++p.ow) {
    const Taps columns = inside_columns(s.window, p.ow);
    for (int64_t i = 0; i < kBlock; i += 8, out += 8) {
      const int32_t* left = top + columns.begin * step + i;
      const int32_t* right = top + columns.end * step + i;
      const __m256i above = _mm256_sub_epi32(load(right), load(left));
      const int64_t down = bottom - top;
      store(out, _mm256_sub_epi32(above, _mm256_sub_epi32(load(right + down), load(left + down))));
    }
  }
}

// Eight outputs: y = f32(acc) * scale + bias.
inline __m256 finish(__m256i acc, __m256 scale, __m256 bias) {
  return _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(acc), scale), bias);
}

// Of eight outputs those `left` that exist.
inline void store_some(const float* scale, const float* bias, float* out, int64_t left, __m256i acc) {
  if (left > 0) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i lanes = _mm256_cmpgt_epi32(_mm256_set1_epi32(left < 8 ? static_cast<int32_t>(left) : 8), lane);
    const __m256 y = finish(acc, _mm256_maskload_ps(scale, lanes), _mm256_maskload_ps(bias, lanes));
    _mm256_maskstore_ps(out, lanes, y);
  }
}

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_CONV_U8_X86_AVX2_ROWS_H_
