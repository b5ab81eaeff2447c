// From sums to reals and bits, sixteen outputs at a time. Part of x86_avx512vpopcntdq.cc alone, built with its flags.
#ifndef REACTNET_KERNELS_BCONV2D_X86_AVX512_EPILOGUE_H_
#define REACTNET_KERNELS_BCONV2D_X86_AVX512_EPILOGUE_H_

#include "bconv2d/x86_avx512_layout.h"

namespace reactnet {
namespace {

// Sixteen shortcut channels from `first` on, which start again at zero behind the last; `count` of them are wanted.
inline __m512 load_shortcut(const float* pixel, int64_t channels, int64_t first, int64_t count, __mmask16 lanes) {
  if (first + count <= channels) {
    return _mm512_maskz_loadu_ps(lanes, pixel + first);
  }
  float v[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) {
    v[i] = pixel[first];
    first = first + 1 == channels ? 0 : first + 1;
  }
  return _mm512_loadu_ps(v);
}

// The sixteen outputs from o on of kPixels neighbouring pixels, from their sums of products: `acc` becomes reals and
// leaves; bits go to `words` at `place`.
template <int kPixels>
inline void finish_lanes(const BConv2dArgs& args, int64_t pixel, int64_t o, int64_t place,
                         const __m512i (&acc)[kPixels], uint64_t (&words)[kPixels]) {
  const int64_t outputs = args.shape.outputs;
  const int64_t count = outputs - o < kLanes ? outputs - o : kLanes;
  const __mmask16 lanes = static_cast<__mmask16>((1u << count) - 1u);
  const __m512 zero = _mm512_setzero_ps();
  __m512 y[kPixels];
  for (int m = 0; m < kPixels; ++m) {
    y[m] = _mm512_cvtepi32_ps(acc[m]);
  }
  if (args.scale != nullptr) {
    const __m512 scale = _mm512_maskz_loadu_ps(lanes, args.scale + o);
    const __m512 shift = _mm512_maskz_loadu_ps(lanes, args.shift + o);
    for (int m = 0; m < kPixels; ++m) {
      y[m] = _mm512_add_ps(_mm512_mul_ps(y[m], scale), shift);
    }
  }
  if (args.shortcut != nullptr) {
    const int64_t channels = args.shortcut_channels;
    const int64_t c = o < channels ? o : o % channels;
    for (int m = 0; m < kPixels; ++m) {
      y[m] = _mm512_add_ps(y[m], load_shortcut(args.shortcut + (pixel + m) * channels, channels, c, count, lanes));
    }
  }
  if (args.slope != nullptr) {
    const __m512 slope = _mm512_maskz_loadu_ps(lanes, args.slope + o);
    for (int m = 0; m < kPixels; ++m) {
      const __m512 scaled = _mm512_mul_ps(slope, y[m]);
      y[m] = _mm512_mask_blend_ps(_mm512_cmp_ps_mask(y[m], zero, _CMP_GE_OQ), scaled, y[m]);
    }
  }
  if (args.shift_out != nullptr) {
    const __m512 shift = _mm512_maskz_loadu_ps(lanes, args.shift_out + o);
    for (int m = 0; m < kPixels; ++m) {
      y[m] = _mm512_add_ps(y[m], shift);
    }
  }
  if (args.out_real != nullptr) {
    for (int m = 0; m < kPixels; ++m) {
      _mm512_mask_storeu_ps(args.out_real + (pixel + m) * outputs + o, lanes, y[m]);
    }
  }
  if (args.out_bits != nullptr) {
    const __m512 next = _mm512_maskz_loadu_ps(lanes, args.next_shift + o);
    for (int m = 0; m < kPixels; ++m) {
      const __mmask16 bits = _mm512_cmp_ps_mask(_mm512_add_ps(y[m], next), zero, _CMP_GE_OQ);
      words[m] |= static_cast<uint64_t>(static_cast<uint32_t>(bits & lanes)) << place;
    }
  }
}

// Writes the bits of the outputs [first, first + count) of a pixel: a word, or the half of one.
inline void store_bits(const BConv2dArgs& args, int64_t pixel, int64_t first, int64_t count, uint64_t bits) {
  uint64_t* word = args.out_bits + pixel * ((args.shape.outputs + 63) / 64) + first / 64;
  if (first % 64 == 0 && (count == 64 || args.shape.outputs - first <= 32)) {
    *word = bits;
  } else {
    memcpy(reinterpret_cast<char*>(word) + first % 64 / 8, &bits, 4);
  }
}

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_BCONV2D_X86_AVX512_EPILOGUE_H_
