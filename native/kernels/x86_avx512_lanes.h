// Registers of sixteen floats, under the names that the texts for any width of register use (<op>/lanes.h). For AVX-512
// files only; functions are static, so each file keeps its copy, built with its flags.
#ifndef REACTNET_KERNELS_X86_AVX512_LANES_H_
#define REACTNET_KERNELS_X86_AVX512_LANES_H_

#include <immintrin.h>
#include <stdint.h>

namespace reactnet {

constexpr int64_t kLanes = 16;
using Floats = __m512;

static inline Floats zero_floats() { return _mm512_setzero_ps(); }
static inline Floats set_floats(float x) { return _mm512_set1_ps(x); }
static inline Floats broadcast(const float* p) { return _mm512_set1_ps(*p); }
static inline Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
static inline Floats subtract(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
static inline Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
static inline Floats divide(Floats a, Floats b) { return _mm512_div_ps(a, b); }
static inline Floats magnitude(Floats x) {
  return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7FFFFFFF)));
}

static inline Floats negative_magnitude(Floats x) { return _mm512_or_ps(x, _mm512_set1_ps(-0.0f)); }
static inline Floats power_of_two(Floats n) {  // 2^n, n whole, -126 to 127
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvttps_epi32(n), _mm512_set1_epi32(127)), 23));
}
static inline Floats where_less(Floats a, Floats b, Floats yes, Floats no) {  // a < b ? yes : no
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}

// vmaxps and vminps give their second operand where the comparison fails or meets a NaN:
static inline Floats larger(Floats x, Floats m) { return _mm512_max_ps(x, m); }   // x > m ? x : m
static inline Floats smaller(Floats x, Floats m) { return _mm512_min_ps(x, m); }  // x < m ? x : m

static inline uint32_t not_negative(Floats y) {  // a bit a lane: y >= 0
  return static_cast<uint32_t>(_mm512_cmp_ps_mask(y, _mm512_setzero_ps(), _CMP_GE_OQ));
}

static inline Floats where_not_negative(Floats y, Floats other) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(y, _mm512_setzero_ps(), _CMP_GE_OQ), other, y);
}

#include "word_of_lanes.h"

// 4 * kLanes numbers from -127 to 127, rounded, a half to even as the run has set, to bytes.
static inline void store_rounded(int8_t* out, const Floats* y) {
  const __m512i low = _mm512_packs_epi32(_mm512_cvtps_epi32(y[0]), _mm512_cvtps_epi32(y[1]));
  const __m512i high = _mm512_packs_epi32(_mm512_cvtps_epi32(y[2]), _mm512_cvtps_epi32(y[3]));
  // Packing works in quarters of a register: this puts the fours back in order.
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  _mm512_storeu_si512(out, _mm512_permutexvar_epi32(order, _mm512_packs_epi16(low, high)));
}

// A whole register of a row, or its first few floats where the row ends: lanes that are off touch no memory.
struct AllLanes {
  static inline Floats load(const float* p) { return _mm512_loadu_ps(p); }
  static inline void store(float* p, Floats v) { _mm512_storeu_ps(p, v); }
};

struct SomeLanes {
  __mmask16 mask;

  explicit inline SomeLanes(int64_t count)
      : mask(count < kLanes ? static_cast<__mmask16>((1u << count) - 1u) : static_cast<__mmask16>(0xFFFF)) {}
  inline Floats load(const float* p) const { return _mm512_maskz_loadu_ps(mask, p); }
  inline void store(float* p, Floats v) const { _mm512_mask_storeu_ps(p, mask, v); }
};

}  // namespace reactnet

#endif  // REACTNET_KERNELS_X86_AVX512_LANES_H_
