// From counts to reals and bits. Part of x86_avx512vpopcntdq.cc alone, built with its flags.
//
// A tile leaves its counts in a few kilobytes of the first cache; when these are full, or a row ends, one loop finishes
// them pixel by pixel. So the constants of a block of outputs stay in registers over many pixels, and neither the
// loops that count nor this one hold values for the other.
#ifndef REACTNET_KERNELS_BCONV2D_X86_AVX512_EPILOGUE_H_
#define REACTNET_KERNELS_BCONV2D_X86_AVX512_EPILOGUE_H_

#include "bconv2d/x86_avx512_layout.h"

namespace reactnet {
namespace {

constexpr int64_t kCounts = 128;  // registers of counts that wait at most: 8 KiB

// Neighbouring pixels of a row with the same taps inside, against one block of outputs.
struct Run {
  int64_t first;             // output of the block
  int64_t pixel;             // of the map
  int64_t count;             // of pixels
  const int32_t* counts;     // count x registers x kLanes: bits counted
  const int32_t* boxes;      // of each pixel: ones of the p of its window
  const int32_t* constants;  // of each output of the block: what acc is before 4 counts and 2 boxes are taken off
};

using FinishRun = void (*)(const BConv2dArgs&, const Run&);

enum Steps : unsigned { kScale = 1, kShortcut = 2, kSlope = 4, kShiftOut = 8, kReal = 16, kBits = 32, kAsk = 64 };

// Sixteen shortcut channels from `first` on, which start again at zero behind the last; those of `lanes` are wanted.
inline __m512 load_shortcut(const float* pixel, int64_t channels, int64_t first, __mmask16 lanes) {
  float v[kLanes] = {};
  for (int64_t i = 0; i < kLanes && (lanes >> i & 1) != 0; ++i) {
    v[i] = pixel[first];
    first = first + 1 == channels ? 0 : first + 1;
  }
  return _mm512_loadu_ps(v);
}

// The constants of sixteen outputs; lanes behind the last output are off and touch no memory.
struct Lanes {
  __mmask16 on;
  int64_t shortcut;  // its first channel
  __m512i all;
  __m512 scale, shift, slope, shift_out, next_shift;
};

// Whether the call has this step: kSteps names them, or asks for the array.
template <unsigned kSteps>
inline bool has(Steps step, const void* array) {
  return (kSteps & kAsk) != 0 ? array != nullptr : (kSteps & step) != 0;
}

// Array values of sixteen outputs, zeros where there is no array.
template <unsigned kSteps>
inline __m512 load_lanes(Steps step, const float* array, int64_t o, __mmask16 on) {
  return has<kSteps>(step, array) ? _mm512_maskz_loadu_ps(on, array + o) : _mm512_setzero_ps();
}

template <unsigned kSteps>
inline Lanes make_lanes(const BConv2dArgs& args, const int32_t* constants, int64_t o) {
  const int64_t count = args.shape.outputs - o;
  Lanes l;
  const bool all = (kSteps & kAsk) == 0 || count >= kLanes;
  l.on = static_cast<__mmask16>(all ? 0xFFFFu : count <= 0 ? 0u : (1u << count) - 1u);
  l.shortcut = has<kSteps>(kShortcut, args.shortcut) && o >= args.shortcut_channels ? o % args.shortcut_channels : o;
  l.all = _mm512_loadu_si512(constants);
  l.scale = load_lanes<kSteps>(kScale, args.scale, o, l.on);
  l.shift = load_lanes<kSteps>(kScale, args.shift, o, l.on);
  l.slope = load_lanes<kSteps>(kSlope, args.slope, o, l.on);
  l.shift_out = load_lanes<kSteps>(kShiftOut, args.shift_out, o, l.on);
  l.next_shift = load_lanes<kSteps>(kBits, args.next_shift, o, l.on);
  return l;
}

// Sixteen outputs of a pixel, `twice_box` two times its ones of p in every lane.
template <unsigned kSteps>
inline __m512 finish_lanes(const BConv2dArgs& args, const Lanes& l, const int32_t* counts, __m512i twice_box,
                           const float* shortcut) {
  const __m512i four = _mm512_slli_epi32(_mm512_load_si512(counts), 2);
  __m512 y = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_sub_epi32(l.all, twice_box), four));
  if (has<kSteps>(kScale, args.scale)) {
    y = _mm512_add_ps(_mm512_mul_ps(y, l.scale), l.shift);
  }
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

template <int kRegisters, unsigned kSteps>
void finish_run(const BConv2dArgs& call, const Run& waiting) {
  const BConv2dArgs args = call;  // copies that no store can change
  const Run run = waiting;
  const int64_t outputs = args.shape.outputs;
  const int64_t words = (outputs + 63) / 64;
  const bool alone = kRegisters == 2 && outputs - run.first <= 32 && run.first % 64 == 0;  // in its word
  Lanes lanes[kRegisters];
  for (int n = 0; n < kRegisters; ++n) {
    lanes[n] = make_lanes<kSteps>(args, run.constants + n * kLanes, run.first + n * kLanes);
  }
  const int32_t* counts = run.counts;
  for (int64_t i = 0; i < run.count; ++i) {
    const int64_t pixel = run.pixel + i;
    const __m512i twice_box = _mm512_set1_epi32(2 * run.boxes[i]);
    const float* shortcut =
        has<kSteps>(kShortcut, args.shortcut) ? args.shortcut + pixel * args.shortcut_channels : nullptr;
    float* real = has<kSteps>(kReal, args.out_real) ? args.out_real + pixel * outputs + run.first : nullptr;
    char* bits = has<kSteps>(kBits, args.out_bits)
                     ? reinterpret_cast<char*>(args.out_bits + pixel * words) + static_cast<uint64_t>(run.first) / 8
                     : nullptr;
    for (int n = 0; n < kRegisters; ++n) {
      const __m512 y = finish_lanes<kSteps>(args, lanes[n], counts + n * kLanes, twice_box, shortcut);
      if (has<kSteps>(kReal, args.out_real)) {
        _mm512_mask_storeu_ps(real + n * kLanes, lanes[n].on, y);
      }
      if (has<kSteps>(kBits, args.out_bits)) {
        const __m512 next = _mm512_add_ps(y, lanes[n].next_shift);
        const __mmask16 ones = _mm512_cmp_ps_mask(next, _mm512_setzero_ps(), _CMP_GE_OQ) & lanes[n].on;
        memcpy(bits + 2 * n, &ones, 2);
      }
    }
    if (has<kSteps>(kBits, args.out_bits) && alone) {
      memset(bits + 4, 0, 4);
    }
    counts += kRegisters * kLanes;
  }
}

// The loop for the steps of this call: of ReActNet's layers with all of them known, or the one that asks.
template <int kRegisters>
FinishRun finish_run_for(const BConv2dArgs& args) {
  constexpr unsigned kReActNet = kScale | kShortcut | kSlope | kReal | kBits;
  const bool whole = args.shape.outputs % (kRegisters * kLanes) == 0 && args.shortcut_channels % kLanes == 0;
  if (whole && args.scale != nullptr && args.shortcut != nullptr && args.slope != nullptr && args.out_real != nullptr &&
      args.out_bits != nullptr) {
    return args.shift_out != nullptr ? finish_run<kRegisters, kReActNet | kShiftOut> : finish_run<kRegisters, kReActNet>;
  }
  return finish_run<kRegisters, kAsk>;
}

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_BCONV2D_X86_AVX512_EPILOGUE_H_
