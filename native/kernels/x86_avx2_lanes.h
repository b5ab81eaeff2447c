// Registers of eight floats, under the names that the texts for any width of register use (<op>/lanes.h). For AVX2
// files only; functions are static, so each file keeps its copy, built with its flags.
#ifndef REACTNET_KERNELS_X86_AVX2_LANES_H_
#define REACTNET_KERNELS_X86_AVX2_LANES_H_

#include <immintrin.h>
#include <stdint.h>

namespace reactnet {

constexpr int64_t kLanes = 8;
using Floats = __m256;

static inline Floats zero_floats() { return _mm256_setzero_ps(); }
static inline Floats set_floats(float x) { return _mm256_set1_ps(x); }
static inline Floats broadcast(const float* p) { return _mm256_broadcast_ss(p); }
static inline Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
static inline Floats subtract(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
static inline Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
static inline Floats divide(Floats a, Floats b) { return _mm256_div_ps(a, b); }
static inline Floats magnitude(Floats x) {
  return _mm256_and_ps(x, _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF)));
}

static inline Floats negative_magnitude(Floats x) { return _mm256_or_ps(x, _mm256_set1_ps(-0.0f)); }
static inline Floats power_of_two(Floats n) {  // 2^n, n whole, -126 to 127
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvttps_epi32(n), _mm256_set1_epi32(127)), 23));
}
static inline Floats where_less(Floats a, Floats b, Floats yes, Floats no) {  // a < b ? yes : no
  return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}

// vmaxps and vminps give their second operand where the comparison fails or meets a NaN:
static inline Floats larger(Floats x, Floats m) { return _mm256_max_ps(x, m); }   // x > m ? x : m
static inline Floats smaller(Floats x, Floats m) { return _mm256_min_ps(x, m); }  // x < m ? x : m

static inline Floats where_not_negative(Floats y, Floats other) {
  return _mm256_blendv_ps(other, y, _mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_GE_OQ));
}

static inline uint32_t not_negative(Floats y) {  // a bit a lane: y >= 0
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_GE_OQ)));
}

#include "word_of_lanes.h"

// 4 * kLanes numbers from -127 to 127, rounded, a half to even as the run has set, to bytes.
static inline void store_rounded(int8_t* out, const Floats* y) {
  const __m256i low = _mm256_packs_epi32(_mm256_cvtps_epi32(y[0]), _mm256_cvtps_epi32(y[1]));
  const __m256i high = _mm256_packs_epi32(_mm256_cvtps_epi32(y[2]), _mm256_cvtps_epi32(y[3]));
  // Packing works in halves of a register: this puts the fours back in order.
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), bytes);
}

// A whole register of a row, or its first few floats where the row ends: lanes that are off touch no memory.
struct AllLanes {
  static inline Floats load(const float* p) { return _mm256_loadu_ps(p); }
  static inline void store(float* p, Floats v) { _mm256_storeu_ps(p, v); }
};

struct SomeLanes {
  __m256i mask;

  explicit inline SomeLanes(int64_t count)
      : mask(_mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(count)),
                                _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))) {}
  inline Floats load(const float* p) const { return _mm256_maskload_ps(p, mask); }
  inline void store(float* p, Floats v) const { _mm256_maskstore_ps(p, mask, v); }
};

}  // namespace reactnet

#endif  // REACTNET_KERNELS_X86_AVX2_LANES_H_
