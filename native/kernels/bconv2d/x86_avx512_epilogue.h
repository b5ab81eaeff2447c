// From counts to reals and bits. Part of x86_avx512vpopcntdq.cc alone, built with its flags.
//
// Tiles leave their counts in a few kilobytes of the first cache; when these are full, one loop finishes them pixel by
// pixel. So the constants of a block of outputs stay in registers over many pixels, and neither the loops that count
// nor this one hold values for the other.
#ifndef REACTNET_KERNELS_BCONV2D_X86_AVX512_EPILOGUE_H_
#define REACTNET_KERNELS_BCONV2D_X86_AVX512_EPILOGUE_H_

#include "bconv2d/x86_avx512_layout.h"

namespace reactnet {
namespace {

constexpr int64_t kCounts = 128;  // registers of counts that wait at most: 8 KiB
// Pixels that wait if they are 4 KiB apart: a core takes a load for one of a store at the same place of another page,
// and waits for it; so these go in small portions, between which tiles are counted.
constexpr int64_t kFewPixels = 14;

// What sixteen outputs of a block have in common; lanes behind the last output are off and touch no memory.
struct Lanes {
  __m512 scale, shift, slope, shift_out;
  __m512 threshold;  // a bit is 1 where y is not below it
  int64_t shortcut;  // the first channel of it
  __mmask16 on;
};

// Of a block, for the columns inside: acc of each output if nothing were counted, where R is even, and where it is odd.
struct Constants {
  Taps kw;
  alignas(64) float acc[2 * 4 * kLanes];
};

// Counts of one block that wait to be finished.
struct Queue {
  Lanes lanes[4];
  Constants constants[3];  // of a pixel that lacks columns on the left, of one with all, of one that lacks others
  alignas(64) int32_t counts[kCounts * kLanes];  // pixels x registers x kLanes
  const float* acc[kCounts / 2];                 // of each pixel: the constants of its taps and of its R
  int64_t pixels;
  int64_t first;  // output of the block
  int64_t pixel;  // of the map: the first that waits
  int64_t width;  // of the map that is pooled
  int64_t above;  // its pixels above the call's
};

using FinishQueue = void (*)(const BConv2dArgs&, const Queue&);

// What a loop does behind scale and shift, which take none of the time that a branch would save.
enum Steps : unsigned { kShortcut = 1, kSlope = 2, kShiftOut = 4, kReal = 8, kBits = 16, kPooled = 32, kAsk = 64 };

// Sixteen shortcut channels from `first` on, which start again at zero behind the last; those of `lanes` are wanted.
inline __m512 load_shortcut(const float* pixel, int64_t channels, int64_t first, __mmask16 lanes) {
  float v[kLanes] = {};
  for (int64_t i = 0; i < kLanes && (lanes >> i & 1) != 0; ++i) {
    v[i] = pixel[first];
    first = first + 1 == channels ? 0 : first + 1;
  }
  return _mm512_loadu_ps(v);
}

// Whether the call has this step: kSteps names them, or asks for the array.
template <unsigned kSteps>
inline bool has(Steps step, const void* array) {
  return (kSteps & kAsk) != 0 ? array != nullptr : (kSteps & step) != 0;
}

// Sixteen numbers of an array, or without one what changes nothing: 1 as a factor, -0 as a summand.
inline __m512 load_lanes(const float* array, int64_t o, __mmask16 on, float neutral) {
  return array != nullptr ? _mm512_maskz_loadu_ps(on, array + o) : _mm512_set1_ps(neutral);
}

// (y + shift) >= 0 by one comparison: a sum has the sign that it has before it is rounded, so that y >= -shift says the
// same but for infinite shifts. y + inf is no number for -inf alone, y - inf never >= 0.
inline __m512 threshold_of(__m512 shift) {
  const __m512 infinite = _mm512_set1_ps(__builtin_inff());
  const __m512 negated = _mm512_sub_ps(_mm512_setzero_ps(), shift);
  const __mmask16 never = _mm512_cmp_ps_mask(negated, infinite, _CMP_EQ_OQ);
  const __m512 lowest = _mm512_set1_ps(-__FLT_MAX__);
  const __m512 threshold = _mm512_mask_blend_ps(_mm512_cmp_ps_mask(shift, infinite, _CMP_EQ_OQ), negated, lowest);
  return _mm512_mask_blend_ps(never, threshold, _mm512_set1_ps(__builtin_nanf("")));
}

Lanes make_lanes(const BConv2dArgs& args, int64_t o) {
  const int64_t count = args.shape.outputs - o;
  Lanes l;
  l.on = static_cast<__mmask16>(count >= kLanes ? 0xFFFFu : count <= 0 ? 0u : (1u << count) - 1u);
  l.shortcut = args.shortcut != nullptr ? o % args.shortcut_channels : 0;
  l.scale = load_lanes(args.scale, o, l.on, 1.0f);
  l.shift = load_lanes(args.shift, o, l.on, -0.0f);
  l.slope = load_lanes(args.slope, o, l.on, 1.0f);
  l.shift_out = load_lanes(args.shift_out, o, l.on, -0.0f);
  l.threshold = threshold_of(load_lanes(args.next_shift, o, l.on, 0.0f));
  return l;
}

// Sixteen outputs of a pixel. Whole numbers below 2^24 all the way: the fused multiply and add rounds nothing.
template <unsigned kSteps>
inline __m512 finish_lanes(const BConv2dArgs& args, const Lanes& l, const int32_t* counts, const float* constants,
                           const float* shortcut) {
  const __m512 count = _mm512_cvtepi32_ps(_mm512_load_si512(counts));
  __m512 y = _mm512_fnmadd_ps(_mm512_set1_ps(4.0f), count, _mm512_load_ps(constants));
  y = _mm512_add_ps(_mm512_mul_ps(y, l.scale), l.shift);
  if (has<kSteps>(kShortcut, args.shortcut)) {
    const bool wraps = (kSteps & kAsk) != 0 && l.shortcut + kLanes > args.shortcut_channels;
    y = _mm512_add_ps(y, wraps ? load_shortcut(shortcut, args.shortcut_channels, l.shortcut, l.on)
                               : _mm512_maskz_loadu_ps(l.on, shortcut + l.shortcut));
  }
  if (has<kSteps>(kSlope, args.slope)) {
    const __mmask16 scaled = _mm512_cmp_ps_mask(y, _mm512_setzero_ps(), _CMP_NGE_UQ);
    y = _mm512_mask_mul_ps(y, scaled, l.slope, y);
  }
  if (has<kSteps>(kShiftOut, args.shift_out)) {
    y = _mm512_add_ps(y, l.shift_out);
  }
  return y;
}

// Where the pixels of a map, one after the other, go in one of half its width and height. The sum of two neighbours
// stays in registers, that of the upper two waits where the mean will be.
template <int kRegisters>
struct Pooled {
  float* out;  // the pixel at hand, from the block's first output on
  int64_t width, outputs, x;
  bool below;  // in the second row of two
  __m512 sums[kRegisters];

  void start(const BConv2dArgs& args, const Queue& queue) {
    const int64_t pixel = queue.above + queue.pixel;
    width = queue.width;
    outputs = args.shape.outputs;
    x = pixel % width;
    below = pixel / width % 2 != 0;
    out = args.out_pooled + pixel / width / 2 * (width / 2) * outputs + queue.first;
    out += x / 2 * outputs;
    for (int n = 0; x % 2 != 0 && n < kRegisters; ++n) {
      sums[n] = _mm512_maskz_loadu_ps(queue.lanes[n].on, out + n * kLanes);
    }
  }

  inline void take(const __m512 (&y)[kRegisters], const Lanes (&lanes)[kRegisters], bool last) {
    if (x % 2 == 0) {
      for (int n = 0; n < kRegisters; ++n) {
        const __mmask16 upper = below ? lanes[n].on : static_cast<__mmask16>(0);
        sums[n] = _mm512_add_ps(_mm512_maskz_loadu_ps(upper, out + n * kLanes), y[n]);
      }
      for (int n = 0; last && n < kRegisters; ++n) {
        _mm512_mask_storeu_ps(out + n * kLanes, lanes[n].on, sums[n]);
      }
      ++x;
      return;
    }
    const __m512 factor = _mm512_set1_ps(below ? 0.25f : 1.0f);
    for (int n = 0; n < kRegisters; ++n) {
      const __m512 sum = _mm512_mul_ps(_mm512_add_ps(sums[n], y[n]), factor);
      _mm512_mask_storeu_ps(out + n * kLanes, lanes[n].on, sum);
    }
    out += outputs;
    ++x;
    if (x == width) {
      x = 0;
      out -= below ? 0 : width / 2 * outputs;
      below = !below;
    }
  }
};

template <int kRegisters, unsigned kSteps>
void finish_queue(const BConv2dArgs& call, const Queue& queue) {
  const BConv2dArgs args = call;  // a copy that no store can change
  const int64_t outputs = args.shape.outputs;
  const int64_t first = queue.first;
  const bool alone = kRegisters == 2 && outputs - first <= 32 && first % 64 == 0;  // in its word
  Lanes lanes[kRegisters];
  for (int n = 0; n < kRegisters; ++n) {
    const Lanes& l = queue.lanes[n];
    const __mmask16 on = (kSteps & kAsk) != 0 ? l.on : static_cast<__mmask16>(0xFFFF);
    lanes[n] = {l.scale, l.shift, l.slope, l.shift_out, l.threshold, l.shortcut, on};
  }
  const int32_t* counts = queue.counts;
  const float* shortcut =
      has<kSteps>(kShortcut, args.shortcut) ? args.shortcut + queue.pixel * args.shortcut_channels : nullptr;
  float* real = has<kSteps>(kReal, args.out_real) ? args.out_real + queue.pixel * outputs + first : nullptr;
  char* bits = has<kSteps>(kBits, args.out_bits)
                   ? reinterpret_cast<char*>(args.out_bits + queue.pixel * ((outputs + 63) / 64)) + first / 8
                   : nullptr;
  Pooled<kRegisters> pooled;
  if (has<kSteps>(kPooled, args.out_pooled)) {
    pooled.start(args, queue);
  }
  for (int64_t i = 0; i < queue.pixels; ++i) {
    const float* acc = queue.acc[i];
    __m512 all[kRegisters];
    for (int n = 0; n < kRegisters; ++n) {
      const __m512 y = finish_lanes<kSteps>(args, lanes[n], counts + n * kLanes, acc + n * kLanes, shortcut);
      all[n] = y;
      if (has<kSteps>(kReal, args.out_real)) {
        _mm512_mask_storeu_ps(real + n * kLanes, lanes[n].on, y);
      }
      if (has<kSteps>(kBits, args.out_bits)) {
        const __mmask16 ones = _mm512_cmp_ps_mask(y, lanes[n].threshold, _CMP_GE_OQ) & lanes[n].on;
        memcpy(bits + 2 * n, &ones, 2);
      }
    }
    counts += kRegisters * kLanes;
    if (has<kSteps>(kPooled, args.out_pooled)) {
      pooled.take(all, lanes, i + 1 == queue.pixels);
    }
    if (has<kSteps>(kShortcut, args.shortcut)) {
      shortcut += args.shortcut_channels;
    }
    if (has<kSteps>(kReal, args.out_real)) {
      real += outputs;
    }
    if (has<kSteps>(kBits, args.out_bits)) {
      if (alone) {
        memset(bits + 4, 0, 4);
      }
      bits += (outputs + 63) / 64 * 8;
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
template <int kRegisters, unsigned kSteps>
FinishQueue finish_queue_with(unsigned steps) {
  if constexpr (kSteps == kAsk) {
    return finish_queue<kRegisters, kAsk>;
  } else {
    if constexpr (is_usual(kSteps)) {
      if (steps == kSteps) {
        return finish_queue<kRegisters, kSteps>;
      }
    }
    return finish_queue_with<kRegisters, kSteps + 1>(steps);
  }
}

template <int kRegisters>
FinishQueue finish_queue_for(const BConv2dArgs& args) {
  const bool whole = args.shape.outputs % (kRegisters * kLanes) == 0 && args.shortcut_channels % kLanes == 0;
  const auto step = [](Steps which, const void* array) { return array != nullptr ? which : 0u; };
  const unsigned steps = step(kShortcut, args.shortcut) | step(kSlope, args.slope) | step(kShiftOut, args.shift_out) |
                         step(kReal, args.out_real) | step(kBits, args.out_bits) | step(kPooled, args.out_pooled);
  return finish_queue_with<kRegisters, 0>(whole ? steps : kAsk);
}

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_BCONV2D_X86_AVX512_EPILOGUE_H_
