// Registers of four floats on aarch64, under the names that the texts for any width of register use (<op>/lanes.h).
// Functions are static: each file keeps its copy.
#ifndef REACTNET_KERNELS_ARM64_NEON_LANES_H_
#define REACTNET_KERNELS_ARM64_NEON_LANES_H_

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

namespace reactnet {

constexpr int64_t kLanes = 4;
using Floats = float32x4_t;

static inline Floats zero_floats() { return vdupq_n_f32(0.0f); }
static inline Floats set_floats(float x) { return vdupq_n_f32(x); }
static inline Floats broadcast(const float* p) { return vld1q_dup_f32(p); }
static inline Floats add(Floats a, Floats b) { return vaddq_f32(a, b); }
static inline Floats subtract(Floats a, Floats b) { return vsubq_f32(a, b); }
static inline Floats multiply(Floats a, Floats b) { return vmulq_f32(a, b); }
static inline Floats divide(Floats a, Floats b) { return vdivq_f32(a, b); }
static inline Floats magnitude(Floats x) { return vabsq_f32(x); }

static inline Floats negative_magnitude(Floats x) { return vnegq_f32(vabsq_f32(x)); }
static inline Floats power_of_two(Floats n) {  // 2^n, n whole, -126 to 127
  return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23));
}
static inline Floats where_less(Floats a, Floats b, Floats yes, Floats no) {  // a < b ? yes : no
  return vbslq_f32(vcltq_f32(a, b), yes, no);
}

// By compare and select: fmax and fmin have rules of their own for NaN and zeros.
static inline Floats larger(Floats x, Floats m) { return vbslq_f32(vcgtq_f32(x, m), x, m); }   // x > m ? x : m
static inline Floats smaller(Floats x, Floats m) { return vbslq_f32(vcltq_f32(x, m), x, m); }  // x < m ? x : m

static inline Floats where_not_negative(Floats y, Floats other) { return vbslq_f32(vcgezq_f32(y), y, other); }
static inline uint32_t not_negative(Floats y) {  // a bit a lane: y >= 0
  const uint32_t places[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(vcgezq_f32(y), vld1q_u32(places)));
}

// Sixteen comparisons, a byte each, of which every eighth byte keeps its own bit.
template <class At>
static inline uint8x16_t places_not_negative(At at, int64_t i) {
  const uint16x8_t low =
      vuzp1q_u16(vreinterpretq_u16_u32(vcgezq_f32(at(i))), vreinterpretq_u16_u32(vcgezq_f32(at(i + 4))));
  const uint16x8_t high =
      vuzp1q_u16(vreinterpretq_u16_u32(vcgezq_f32(at(i + 8))), vreinterpretq_u16_u32(vcgezq_f32(at(i + 12))));
  const uint8x16_t places = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201U));
  return vandq_u8(vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high)), places);
}

// The same of 64 numbers: at(i) gives number i and the next ones. Neighbours add up three times.
template <class At>
static inline uint64_t word_not_negative(At at) {
  const uint8x16_t low = vpaddq_u8(places_not_negative(at, 0), places_not_negative(at, 16));
  const uint8x16_t high = vpaddq_u8(places_not_negative(at, 32), places_not_negative(at, 48));
  const uint8x16_t fours = vpaddq_u8(low, high);
  return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(fours, fours)), 0);
}

// 4 * kLanes numbers from -127 to 127, rounded, a half to even, to bytes.
static inline void store_rounded(int8_t* out, const Floats* y) {
  const int16x8_t low = vcombine_s16(vmovn_s32(vcvtnq_s32_f32(y[0])), vmovn_s32(vcvtnq_s32_f32(y[1])));
  const int16x8_t high = vcombine_s16(vmovn_s32(vcvtnq_s32_f32(y[2])), vmovn_s32(vcvtnq_s32_f32(y[3])));
  vst1q_s8(out, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}

// A whole register of a row.
struct AllLanes {
  static inline Floats load(const float* p) { return vld1q_f32(p); }
  static inline void store(float* p, Floats v) { vst1q_f32(p, v); }
};

#include "some_lanes.h"

}  // namespace reactnet

#endif  // REACTNET_KERNELS_ARM64_NEON_LANES_H_
