// From counts to reals and bits. Part of x86_avx512vpopcntdq.cc alone, built with its flags.
//
// A tile is finished in the registers that counted it, step by step for all of it: a step's constants are in registers
// for as long as the step takes, whether a layer has it is asked once a tile, and all of a tile's loads from maps come
// before its stores, since a core takes a load for one of a store at the same place of another page, and waits.
#ifndef REACTNET_KERNELS_BCONV2D_X86_AVX512_EPILOGUE_H_
#define REACTNET_KERNELS_BCONV2D_X86_AVX512_EPILOGUE_H_

#include "bconv2d/x86_avx512_layout.h"

namespace reactnet {
namespace {

constexpr int64_t kMostOutputs = 4 * kLanes;  // of a block

// Of a block, for the columns inside: acc of each output if nothing were counted, where R is even, and where it is odd.
struct Constants {
  Taps kw;
  alignas(64) float acc[2 * kMostOutputs];
};

// A call's arguments, of which rows may have become one.
struct Call : BConv2dArgs {
  int64_t map_width;
  int64_t above;  // pixels of the map above those of the call
};

// Where the mean of a pixel and three neighbours goes, from the block's first output on. The sum of those before the
// last waits there.
struct Mean {
  float* out;
  int64_t x;  // of the pixel
  bool below;
};

// What a block has behind its counts.
enum Steps : unsigned {
  kScale = 1,
  kShortcut = 2,
  kSlope = 4,
  kShiftOut = 8,
  kBits = 16,
  kReal = 32,
  kMeans = 64,
  kAlone = 128
};

// The block at hand: its outputs are args.shape.outputs' `first` on.
struct Block {
  Call args;
  int64_t first;
  int64_t words;  // of bits a pixel
  bool usual;     // all of its lanes are outputs, and shortcut channels start again only between registers
  unsigned steps;
  // Of its outputs; behind the last one, and without the array, what changes nothing.
  alignas(64) float scale[kMostOutputs];
  alignas(64) float shift[kMostOutputs];
  alignas(64) float slope[kMostOutputs];
  alignas(64) float shift_out[kMostOutputs];
  alignas(64) float threshold[kMostOutputs];  // a bit is 1 where y is not below it
  int64_t shortcut[4];                        // the first channel that a register adds
  Constants constants[3];  // of a pixel that lacks columns on the left, of one with all, of one that lacks others
  Mean mean;               // of the next pixel
};

// Constants of the pixels of a tile: of the first, of those between, of the last.
struct PixelConstants {
  const float* first;
  const float* between;
  const float* last;

  // Of pixel m of `pixels`, where `odd` is 0, or the outputs of a block if R is odd.
  inline __attribute__((always_inline)) const float* of(int64_t m, int64_t pixels, const int32_t* odd) const {
    return (m == 0 ? first : m + 1 == pixels ? last : between) + odd[m];
  }
};

// (y + shift) >= 0 by one comparison: a sum has the sign that it has before it is rounded, so that y >= -shift says the
// same but for infinite shifts. y + inf is no number for -inf alone, y - inf never >= 0.
inline __m512 threshold_of(__m512 shift) {
  const __m512 infinite = _mm512_set1_ps(__builtin_inff());
  const __m512 negated = _mm512_sub_ps(_mm512_setzero_ps(), shift);
  const __mmask16 never = _mm512_cmp_ps_mask(negated, infinite, _CMP_EQ_OQ);
  const __mmask16 always = _mm512_cmp_ps_mask(shift, infinite, _CMP_EQ_OQ);
  const __m512 threshold = _mm512_mask_blend_ps(always, negated, _mm512_set1_ps(-__FLT_MAX__));
  return _mm512_mask_blend_ps(never, threshold, _mm512_set1_ps(__builtin_nanf("")));
}

// Sixteen numbers of an array, or without one what changes nothing: 1 as a factor, -0 as a summand.
inline __m512 load_lanes(const float* array, int64_t o, __mmask16 on, float neutral) {
  return array != nullptr ? _mm512_maskz_loadu_ps(on, array + o) : _mm512_set1_ps(neutral);
}

// Everything but the constants of pixels.
void start_block(const Call& args, const Layout& l, int64_t first, Block& b) {
  b.args = args;
  b.first = first;
  const int64_t outputs = args.shape.outputs;
  const int64_t lanes = l.registers * kLanes;
  b.words = (outputs + 63) / 64;
  b.usual = first + lanes <= outputs && (args.shortcut == nullptr || args.shortcut_channels % kLanes == 0);
  const auto step = [](Steps which, const void* array) { return array != nullptr ? which : 0u; };
  b.steps = step(kScale, args.scale) | step(kShortcut, args.shortcut) | step(kSlope, args.slope) |
            step(kShiftOut, args.shift_out) | step(kBits, args.out_bits) | step(kReal, args.out_real) |
            step(kMeans, args.out_pooled);
  b.steps |= lanes == 32 && outputs - first <= 32 && first % 64 == 0 ? kAlone : 0u;
  for (int64_t n = 0; n < l.registers; ++n) {
    const int64_t o = first + n * kLanes;
    const __mmask16 on = lanes_left(outputs - o);
    const auto copy = [&](float* to, __m512 numbers) { _mm512_store_ps(to + n * kLanes, numbers); };
    copy(b.scale, load_lanes(args.scale, o, on, 1.0f));
    copy(b.shift, load_lanes(args.shift, o, on, -0.0f));
    copy(b.slope, load_lanes(args.slope, o, on, 1.0f));
    copy(b.shift_out, load_lanes(args.shift_out, o, on, -0.0f));
    copy(b.threshold, threshold_of(load_lanes(args.next_shift, o, on, 0.0f)));
    b.shortcut[n] = args.shortcut != nullptr ? o % args.shortcut_channels : 0;
  }
}

inline __m512 prelu(__m512 y, __m512 slope) {
  const __mmask16 scaled = _mm512_cmp_ps_mask(y, _mm512_setzero_ps(), _CMP_NGE_UQ);
  return _mm512_mask_mul_ps(y, scaled, slope, y);
}

// The bits of sixteen outputs: of the register n of the block, at pixel `bits`.
inline void store_bits(char* bits, int n, __mmask16 ones) { memcpy(bits + 2 * n, &ones, 2); }

inline char* bits_of(const Block& b, int64_t pixel) {
  return reinterpret_cast<char*>(b.args.out_bits + pixel * b.words) + b.first / 8;
}

void start_means(const Call& args, int64_t pixel, int64_t first, Mean& mean) {
  const int64_t width = args.map_width;
  const int64_t y = (args.above + pixel) / width;
  mean = {args.out_pooled + y / 2 * (width / 2) * args.shape.outputs + first, 0, y % 2 != 0};
}

// To the pixel behind the `pixels` at hand, which is at most at the end of their row.
inline __attribute__((always_inline)) void go_on(const Call& args, int64_t pixels, Mean& mean) {
  mean.x += pixels;
  mean.out += mean.x % 2 == 0 ? args.shape.outputs : 0;
  if (mean.x == args.map_width) {
    mean.x = 0;
    mean.out -= mean.below ? 0 : args.map_width / 2 * args.shape.outputs;
    mean.below = !mean.below;
  }
}

// Sixteen shortcut channels from `first` on, which start again at zero behind the last; those of `lanes` are wanted.
inline __m512 load_shortcut(const float* pixel, int64_t channels, int64_t first, __mmask16 lanes) {
  float v[kLanes] = {};
  for (int64_t i = 0; i < kLanes && (lanes >> i & 1) != 0; ++i) {
    v[i] = pixel[first];
    first = first + 1 == channels ? 0 : first + 1;
  }
  return _mm512_loadu_ps(v);
}

// Sixteen outputs of a pixel of a block that is not usual, or whose means do not fall into tiles. Nothing is read or
// written behind the last output.
void finish_lanes(const Block& b, int64_t pixel, int n, const int32_t* counts, const float* acc) {
  const BConv2dArgs& args = b.args;
  const int64_t at = pixel * args.shape.outputs + b.first + n * kLanes;
  const __mmask16 on = lanes_left(args.shape.outputs - b.first - n * kLanes);
  const auto of = [n](const float* constants) { return _mm512_load_ps(constants + n * kLanes); };
  const __m512 count = _mm512_cvtepi32_ps(_mm512_loadu_si512(counts));
  __m512 y = _mm512_fnmadd_ps(_mm512_set1_ps(4.0f), count, of(acc));
  y = _mm512_add_ps(_mm512_mul_ps(y, of(b.scale)), of(b.shift));
  if (args.shortcut != nullptr) {
    const float* from = args.shortcut + pixel * args.shortcut_channels;
    y = _mm512_add_ps(y, load_shortcut(from, args.shortcut_channels, b.shortcut[n], on));
  }
  y = _mm512_add_ps(prelu(y, of(b.slope)), of(b.shift_out));
  if (args.out_real != nullptr) {
    _mm512_mask_storeu_ps(args.out_real + at, on, y);
  }
  if (args.out_bits != nullptr) {
    store_bits(bits_of(b, pixel), n, _mm512_cmp_ps_mask(y, of(b.threshold), _CMP_GE_OQ) & on);
  }
  if (args.out_pooled != nullptr) {
    float* out = b.mean.out + n * kLanes;
    const bool right = b.mean.x % 2 != 0;
    const __mmask16 later = right || b.mean.below ? on : static_cast<__mmask16>(0);
    const __m512 factor = _mm512_set1_ps(right && b.mean.below ? 0.25f : 1.0f);
    y = _mm512_mul_ps(_mm512_add_ps(_mm512_maskz_loadu_ps(later, out), y), factor);
    _mm512_mask_storeu_ps(out, on, y);
  }
}

__attribute__((noinline, cold)) void finish_any(Block& b, int64_t pixel, int64_t pixels, int registers,
                                                const int32_t* counts, const int32_t* odd, const float* first,
                                                const float* between, const float* last) {
  const PixelConstants constants = {first, between, last};
  for (int64_t m = 0; m < pixels; ++m, ++pixel) {
    const float* acc = constants.of(m, pixels, odd);
    for (int n = 0; n < registers; ++n, counts += kLanes) {
      finish_lanes(b, pixel, n, counts, acc);
    }
    if ((b.steps & kAlone) != 0 && b.args.out_bits != nullptr) {
      memset(bits_of(b, pixel) + 4, 0, 4);
    }
    if (b.args.out_pooled != nullptr) {
      go_on(b.args, 1, b.mean);
    }
  }
}

template <int kIndex>
struct At {
  static constexpr int i = kIndex;
};

// f(At<kFirst>()) to f(At<kLast - 1>()). GCC keeps an array in registers if it knows each index before it unrolls
// loops.
template <int kFirst, int kLast, class F>
inline __attribute__((always_inline)) void each(const F& f) {
  if constexpr (kFirst < kLast) {
    f(At<kFirst>());
    each<kFirst + 1, kLast>(f);
  }
}

// f(y[m][n], m, n) for a tile, register by register of outputs, whose constants are then at hand.
template <int kPixels, int kRegisters, class F>
inline __attribute__((always_inline)) void each_register(const F& f) {
  each<0, kRegisters>([&](auto n) __attribute__((always_inline)) {
    each<0, kPixels>([&](auto m) __attribute__((always_inline)) { f(m, n); });
  });
}

// Means of a tile that begins at an even column, two pixels at a time.
template <int kPixels, int kRegisters>
inline __attribute__((always_inline)) void store_means(Block& b, const __m512 (&y)[kPixels][kRegisters]) {
  Mean mean = b.mean;
  each<0, kPixels / 2>([&](auto pair) __attribute__((always_inline)) {
    const __m512 factor = _mm512_set1_ps(mean.below ? 0.25f : 1.0f);
    const __mmask16 upper = static_cast<__mmask16>(mean.below ? 0xFFFF : 0);
    each<0, kRegisters>([&](auto n) __attribute__((always_inline)) {
      float* out = mean.out + n.i * kLanes;
      __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(upper, out), y[2 * pair.i][n.i]);
      sum = _mm512_add_ps(sum, y[2 * pair.i + 1][n.i]);
      _mm512_storeu_ps(out, _mm512_mul_ps(sum, factor));
    });
    go_on(b.args, 2, mean);
  });
  b.mean = mean;
}

// Finishes a tile: pixels of a row, one after the other, the first of them `pixel` of the call's. Whole numbers below
// 2^24 all the way to acc: the fused multiply and add rounds nothing.
template <int kPixels, int kRegisters>
inline __attribute__((always_inline)) void finish(Block& b, int64_t pixel, const int32_t* odd, PixelConstants constants,
                                                  const __m512i (&sums)[kPixels][kRegisters]) {
  constexpr int64_t kOutputs = kRegisters * kLanes;
  const unsigned steps = b.steps;
  if (!b.usual || ((steps & kMeans) != 0 && (kPixels % 2 != 0 || b.mean.x % 2 != 0))) {
    alignas(64) int32_t counts[kPixels * kOutputs];
    each_register<kPixels, kRegisters>([&](auto m, auto n) __attribute__((always_inline)) {
      _mm512_store_si512(counts + m.i * kOutputs + n.i * kLanes, sums[m.i][n.i]);
    });
    finish_any(b, pixel, kPixels, kRegisters, counts, odd, constants.first, constants.between, constants.last);
    return;
  }
  __m512 y[kPixels][kRegisters];
  each<0, kPixels>([&](auto m) __attribute__((always_inline)) {
    const float* acc = constants.of(m.i, kPixels, odd);
    each<0, kRegisters>([&](auto n) __attribute__((always_inline)) {
      const __m512 count = _mm512_cvtepi32_ps(sums[m.i][n.i]);
      y[m.i][n.i] = _mm512_fnmadd_ps(_mm512_set1_ps(4.0f), count, _mm512_load_ps(acc + n.i * kLanes));
    });
  });
  const auto of = [](const float* constants_of, int n) { return _mm512_load_ps(constants_of + n * kLanes); };
  if ((steps & kScale) != 0) {
    each_register<kPixels, kRegisters>([&](auto m, auto n) __attribute__((always_inline)) {
      y[m.i][n.i] = _mm512_add_ps(_mm512_mul_ps(y[m.i][n.i], of(b.scale, n.i)), of(b.shift, n.i));
    });
  }
  if ((steps & kShortcut) != 0) {
    const float* from = b.args.shortcut + pixel * b.args.shortcut_channels;
    each<0, kPixels>([&](auto m) __attribute__((always_inline)) {
      each<0, kRegisters>([&](auto n) __attribute__((always_inline)) {
        y[m.i][n.i] = _mm512_add_ps(y[m.i][n.i], _mm512_loadu_ps(from + b.shortcut[n.i]));
      });
      from += b.args.shortcut_channels;
    });
  }
  if ((steps & kSlope) != 0) {
    each_register<kPixels, kRegisters>([&](auto m, auto n) __attribute__((always_inline)) {
      y[m.i][n.i] = prelu(y[m.i][n.i], of(b.slope, n.i));
    });
  }
  if ((steps & kShiftOut) != 0) {
    each_register<kPixels, kRegisters>([&](auto m, auto n) __attribute__((always_inline)) {
      y[m.i][n.i] = _mm512_add_ps(y[m.i][n.i], of(b.shift_out, n.i));
    });
  }
  const BConv2dArgs& args = b.args;
  const int64_t outputs = args.shape.outputs;  // both before the first store, which could change what is read later
  float* const out = args.out_real + pixel * outputs + b.first;
  if ((steps & kBits) != 0) {
    char* bits = bits_of(b, pixel);
    const int64_t step = b.words * 8;
    each<0, kRegisters>([&](auto n) __attribute__((always_inline)) {
      const __m512 threshold = of(b.threshold, n.i);
      each<0, kPixels>([&](auto m) __attribute__((always_inline)) {
        store_bits(bits + m.i * step, n.i, _mm512_cmp_ps_mask(y[m.i][n.i], threshold, _CMP_GE_OQ));
      });
    });
    for (int64_t m = 0; (steps & kAlone) != 0 && m < kPixels; ++m) {
      memset(bits + m * step + 4, 0, 4);
    }
  }
  if ((steps & kReal) != 0) {
    each<0, kPixels>([&](auto m) __attribute__((always_inline)) {
      each<0, kRegisters>([&](auto n) __attribute__((always_inline)) {
        _mm512_storeu_ps(out + m.i * outputs + n.i * kLanes, y[m.i][n.i]);
      });
    });
  }
  if constexpr (kPixels % 2 == 0) {
    if ((steps & kMeans) != 0) {
      store_means(b, y);
    }
  }
}

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_BCONV2D_X86_AVX512_EPILOGUE_H_
