// From sums of halves to reals, bits and means, sixteen outputs of all pixels of a strip at a time. Part of x86_avx2.cc
// alone, built with its flags.
#ifndef REACTNET_KERNELS_BCONV2D_X86_AVX2_EPILOGUE_H_
#define REACTNET_KERNELS_BCONV2D_X86_AVX2_EPILOGUE_H_

#include "bconv2d/x86_avx2_layout.h"

namespace reactnet {
namespace {

// What a loop does behind scale and shift, which take none of the time that a branch would save.
enum Steps : unsigned { kShortcut = 1, kSlope = 2, kShiftOut = 4, kReal = 8, kBits = 16, kPooled = 32, kAsk = 64 };

// What eight outputs have in common; lanes behind the last output are off and touch no memory.
struct Lanes {
  __m256 scale, shift, slope, shift_out;
  __m256 threshold;  // a bit is 1 where y is not below it
  __m256i on;
  int64_t shortcut;  // the first channel of it
  int bits;          // those of the lanes that are on
};

// Eight numbers of an array, or without one what changes nothing: 1 as a factor, -0 as a summand.
inline __m256 load_lanes(const float* array, int64_t o, __m256i on, float neutral) {
  return array != nullptr ? _mm256_maskload_ps(array + o, on) : _mm256_set1_ps(neutral);
}

// (y + shift) >= 0 by one comparison: a sum has the sign that it has before it is rounded, so that y >= -shift says the
// same but for infinite shifts. y + inf is no number for -inf alone, y - inf never >= 0.
inline __m256 threshold_of(__m256 shift) {
  const __m256 infinite = _mm256_set1_ps(__builtin_inff());
  const __m256 negated = _mm256_sub_ps(_mm256_setzero_ps(), shift);
  const __m256 lowest =
      _mm256_blendv_ps(negated, _mm256_set1_ps(-__FLT_MAX__), _mm256_cmp_ps(shift, infinite, _CMP_EQ_OQ));
  return _mm256_blendv_ps(lowest, _mm256_set1_ps(__builtin_nanf("")), _mm256_cmp_ps(negated, infinite, _CMP_EQ_OQ));
}

Lanes make_lanes(const BConv2dArgs& args, int64_t o) {
  const int64_t left = args.shape.outputs - o;
  const int32_t count = static_cast<int32_t>(left < 0 ? 0 : left < 8 ? left : 8);
  Lanes l;
  l.on = _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  l.bits = (1 << count) - 1;
  l.shortcut = args.shortcut != nullptr ? o % args.shortcut_channels : 0;
  l.scale = load_lanes(args.scale, o, l.on, 1.0f);
  l.shift = load_lanes(args.shift, o, l.on, -0.0f);
  l.slope = load_lanes(args.slope, o, l.on, 1.0f);
  l.shift_out = load_lanes(args.shift_out, o, l.on, -0.0f);
  l.threshold = threshold_of(load_lanes(args.next_shift, o, l.on, 0.0f));
  return l;
}

// Whether the call has this step: kSteps names them, or asks for the array.
template <unsigned kSteps>
inline bool has(Steps step, const void* array) {
  return (kSteps & kAsk) != 0 ? array != nullptr : (kSteps & step) != 0;
}

template <unsigned kSteps>
inline __m256 load(const float* at, const Lanes& l) {
  return (kSteps & kAsk) != 0 ? _mm256_maskload_ps(at, l.on) : _mm256_loadu_ps(at);
}

template <unsigned kSteps>
inline void store(float* at, const Lanes& l, __m256 y) {
  if ((kSteps & kAsk) != 0) {
    _mm256_maskstore_ps(at, l.on, y);
  } else {
    _mm256_storeu_ps(at, y);
  }
}

// Eight shortcut channels from `first` on, which start again at zero behind the last; those of `bits` are wanted.
inline __m256 load_around(const float* pixel, int64_t channels, int64_t first, int bits) {
  float v[8] = {};
  for (int i = 0; i < 8 && (bits >> i & 1) != 0; ++i) {
    v[i] = pixel[first];
    first = first + 1 == channels ? 0 : first + 1;
  }
  return _mm256_loadu_ps(v);
}

// Where the pixel at hand lies, from its first output on; null without the step, but for kAsk.
struct Place {
  const float* shortcut;
  int64_t shortcut_step;  // to the next pixel's
  float* real;
  char* bits;
};

// Eight outputs of a pixel, whose bits are byte n.
template <unsigned kSteps>
inline __m256 finish_eight(const BConv2dArgs& args, const Lanes& l, __m256 acc, const Place& at, int n) {
  __m256 y = _mm256_add_ps(_mm256_mul_ps(acc, l.scale), l.shift);
  if (has<kSteps>(kShortcut, args.shortcut)) {
    const bool around = (kSteps & kAsk) != 0 && l.shortcut + 8 > args.shortcut_channels;
    y = _mm256_add_ps(y, around ? load_around(at.shortcut, args.shortcut_channels, l.shortcut, l.bits)
                                : load<kSteps>(at.shortcut + l.shortcut, l));
  }
  if (has<kSteps>(kSlope, args.slope)) {
    const __m256 scaled = _mm256_mul_ps(l.slope, y);
    y = (kSteps & kAsk) != 0 ? _mm256_blendv_ps(scaled, y, _mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_GE_OQ))
                             : _mm256_blendv_ps(y, scaled, y);  // by its sign: see may_be_minus_zero
  }
  if (has<kSteps>(kShiftOut, args.shift_out)) {
    y = _mm256_add_ps(y, l.shift_out);
  }
  if (has<kSteps>(kReal, args.out_real)) {
    store<kSteps>(at.real + n * 8, l, y);
  }
  if (has<kSteps>(kBits, args.out_bits)) {
    const int ones = _mm256_movemask_ps(_mm256_cmp_ps(y, l.threshold, _CMP_GE_OQ));
    at.bits[n] = static_cast<char>((kSteps & kAsk) != 0 ? ones & l.bits : ones);
  }
  return y;
}

struct Sixteen {
  __m256 low, high;
};

// Sums of halves are u16 beside each other, of an output among the first eight and of one among the others; acc, which
// fits into 16 bits, comes of them by additions modulo 2^16: the constant, less four times the halves, less `odds`.
// That of the first eight is 2^15 too large, so that it is the fraction of a float of 2^23 and more.
inline Sixteen to_floats(__m256i halves, const uint16_t* constants, uint32_t odds) {
  const __m256i constant = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(constants));
  const __m256i acc = _mm256_sub_epi16(_mm256_sub_epi16(constant, _mm256_set1_epi32(static_cast<int32_t>(odds))),
                                       _mm256_slli_epi16(halves, 2));
  const __m256i fraction = _mm256_blend_epi16(acc, _mm256_set1_epi32(0x4B000000), 0xAA);
  return {_mm256_sub_ps(_mm256_castsi256_ps(fraction), _mm256_set1_ps(8388608.0f + 32768.0f)),
          _mm256_cvtepi32_ps(_mm256_srai_epi32(acc, 16))};
}

template <unsigned kSteps>
inline Sixteen finish_pixel(const BConv2dArgs& args, const Lanes& low, const Lanes& high, const Sixteen& acc,
                            Place& at) {
  const Sixteen y = {finish_eight<kSteps>(args, low, acc.low, at, 0),
                     finish_eight<kSteps>(args, high, acc.high, at, 1)};
  if (has<kSteps>(kShortcut, args.shortcut)) {
    at.shortcut += at.shortcut_step;
  }
  if (has<kSteps>(kReal, args.out_real)) {
    at.real += args.shape.outputs;
  }
  if (has<kSteps>(kBits, args.out_bits)) {
    at.bits += (args.shape.outputs + 63) / 64 * 8;
  }
  return y;
}

// The mean of 2x2 pixels, of which two at a time come: the sum of the upper two waits where the mean will be.
template <unsigned kSteps>
inline void pool_eight(const Lanes& l, __m256 left, __m256 right, bool below, float* out) {
  const __m256 before = below ? load<kSteps>(out, l) : _mm256_setzero_ps();
  const __m256 sum = _mm256_add_ps(_mm256_add_ps(before, left), right);
  store<kSteps>(out, l, _mm256_mul_ps(sum, _mm256_set1_ps(below ? 0.25f : 1.0f)));
}

// Sixteen numbers of each pixel, side by side. Where pixels lie 4 KiB apart a core takes a load for one of the store at
// the same place of another page, and waits for it: so all are loaded before the first is stored.
void copy_near(const float* pixel, int64_t step, int64_t pixels, float* out) {
  for (int64_t i = 0; i < pixels; ++i, pixel += step, out += 16) {
    _mm256_storeu_ps(out, _mm256_loadu_ps(pixel));
    _mm256_storeu_ps(out + 8, _mm256_loadu_ps(pixel + 8));
  }
}

// Pairs begin to end - 1 of a strip, and the sums of the first block of a group, `step` from pair to pair.
struct Portion {
  const Strip& strip;
  int64_t begin, end;
  const Counts* sums;
  int64_t step;

  int64_t first_pixel(int64_t width) const { return strip.row[begin] * width + strip.column[begin]; }
  // The one behind the last.
  int64_t end_pixel(int64_t width) const {
    return strip.row[end - 1] * width + strip.column[end - 1] + (strip.column[end - 1] + 1 < width ? 2 : 1);
  }
};

// Pairs of pixels 4 KiB apart that are finished at a time: their sixteen outputs lie in one set of the first cache.
constexpr int64_t kFewPairs = 5;

bool far_apart(const BConv2dShape& s) { return s.outputs % 1024 == 0; }

struct Ends;
using Finish = void (*)(const BConv2dArgs&, const Ends&, const Portion&);

// How sixteen outputs are finished, made once for many strips.
struct Ends {
  Finish finish;
  int64_t first;  // of the outputs
  int64_t lane;   // of the group's constants
  Lanes low, high;
};

template <unsigned kSteps>
void finish_sixteen(const BConv2dArgs& call, const Ends& ends, const Portion& portion) {
  const BConv2dArgs args = call;  // a copy that no store can change
  const Strip& strip = portion.strip;
  const int64_t end = portion.end;
  const int64_t step = portion.step;
  const int64_t outputs = args.shape.outputs;
  const int64_t width = args.shape.window.out_width;
  const int64_t first = ends.first;
  const int64_t lane = ends.lane;
  const int64_t half = lane / 16 % 2;
  const int64_t pixel = portion.first_pixel(width);
  const Counts* counts = portion.sums + portion.begin * portion.step + lane / kBlock;
  float near[2 * kFewPairs * 16];
  Lanes low = ends.low;
  Lanes high = ends.high;
  Place at = {};
  at.shortcut = has<kSteps>(kShortcut, args.shortcut) ? args.shortcut + pixel * args.shortcut_channels : nullptr;
  at.shortcut_step = args.shortcut_channels;
  at.real = has<kSteps>(kReal, args.out_real) ? args.out_real + pixel * outputs + first : nullptr;
  at.bits = has<kSteps>(kBits, args.out_bits)
                ? reinterpret_cast<char*>(args.out_bits + pixel * ((outputs + 63) / 64)) + first / 8
                : nullptr;
  if ((kSteps & kAsk) == 0 && has<kSteps>(kShortcut, args.shortcut) && far_apart(args.shape)) {
    copy_near(at.shortcut + low.shortcut, at.shortcut_step, portion.end_pixel(width) - pixel, near);
    low.shortcut = 0;
    high.shortcut = 8;
    at.shortcut = near;
    at.shortcut_step = 16;
  }
  for (int64_t i = portion.begin; i < end; ++i, counts += step) {
    const Sixteen left = finish_pixel<kSteps>(
        args, low, high, to_floats(counts->a[half], strip.constants[i][0] + lane, strip.odds[i][0]), at);
    if (strip.column[i] + 1 == width) {
      continue;  // of an odd row
    }
    const Sixteen right = finish_pixel<kSteps>(
        args, low, high, to_floats(counts->b[half], strip.constants[i][1] + lane, strip.odds[i][1]), at);
    if (has<kSteps>(kPooled, args.out_pooled)) {
      const bool below = strip.row[i] % 2 != 0;
      float* out = args.out_pooled + (strip.row[i] / 2 * width + strip.column[i]) / 2 * outputs + first;
      pool_eight<kSteps>(low, left.low, right.low, below, out);
      pool_eight<kSteps>(high, left.high, right.high, below, out + 8);
    }
  }
}

// Steps of layers as networks have them: each such set has a loop of its own.
constexpr bool is_usual(unsigned steps) {
  const bool known_pool = (steps & (kReal | kBits | kShortcut)) == (kBits | kShortcut);
  return (steps & (kReal | kBits)) != 0 && ((steps & kShiftOut) == 0 || (steps & kSlope) != 0) &&
         ((steps & kPooled) == 0 || known_pool);
}

// The loop that knows `steps`, from kSteps on; or the one that asks.
template <unsigned kSteps>
Finish finish_with(unsigned steps) {
  if constexpr (kSteps == kAsk) {
    return finish_sixteen<kAsk>;
  } else {
    if constexpr (is_usual(kSteps)) {
      if (steps == kSteps) {
        return finish_sixteen<kSteps>;
      }
    }
    return finish_with<kSteps + 1>(steps);
  }
}

// Whether y can be -0 in front of the slope, for one of sixteen outputs. A sum is -0 only of two -0, and acc is not -0
// itself: so not without a scale, nor if no shift is -0.
bool may_be_minus_zero(const BConv2dArgs& args, int64_t first) {
  bool may = false;
  for (int64_t o = first; args.shift != nullptr && o < first + 16; ++o) {
    uint32_t bits;
    memcpy(&bits, args.shift + o, sizeof(bits));
    may = may || bits == 0x80000000u;
  }
  return may;
}

Finish finish_for(const BConv2dArgs& args, int64_t first) {
  const bool whole =
      first + 16 <= args.shape.outputs && args.shortcut_channels % 16 == 0 && !may_be_minus_zero(args, first);
  const auto step = [](Steps which, const void* array) { return array != nullptr ? which : 0u; };
  const unsigned steps = step(kShortcut, args.shortcut) | step(kSlope, args.slope) | step(kShiftOut, args.shift_out) |
                         step(kReal, args.out_real) | step(kBits, args.out_bits) | step(kPooled, args.out_pooled);
  return finish_with<0>(whole ? steps : kAsk);
}

Ends ends_of(const BConv2dArgs& args, int64_t first, int64_t lane) {
  return {finish_for(args, first), first, lane, make_lanes(args, first), make_lanes(args, first + 8)};
}

// Bits behind the last block of 32 outputs, where it is the lower half of its word: zeros.
void clear_upper_half(const BConv2dArgs& args, const Portion& portion) {
  const int64_t words = (args.shape.outputs + 63) / 64;
  const int64_t width = args.shape.window.out_width;
  for (int64_t pixel = portion.first_pixel(width); pixel < portion.end_pixel(width); ++pixel) {
    memset(reinterpret_cast<char*>(args.out_bits + (pixel + 1) * words) - 4, 0, 4);
  }
}

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_BCONV2D_X86_AVX2_EPILOGUE_H_
