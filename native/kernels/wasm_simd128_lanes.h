// Registers of four floats in WebAssembly, under the names that the texts for any width of register use (<op>/lanes.h).
// Functions are static: each file keeps its copy.
#ifndef REACTNET_KERNELS_WASM_SIMD128_LANES_H_
#define REACTNET_KERNELS_WASM_SIMD128_LANES_H_

#include <stdint.h>
#include <string.h>
#include <wasm_simd128.h>

namespace reactnet {

constexpr int64_t kLanes = 4;
using Floats = v128_t;

static inline Floats zero_floats() { return wasm_f32x4_splat(0.0f); }
static inline Floats set_floats(float x) { return wasm_f32x4_splat(x); }
static inline Floats broadcast(const float* p) { return wasm_v128_load32_splat(p); }
static inline Floats add(Floats a, Floats b) { return wasm_f32x4_add(a, b); }
static inline Floats subtract(Floats a, Floats b) { return wasm_f32x4_sub(a, b); }
static inline Floats multiply(Floats a, Floats b) { return wasm_f32x4_mul(a, b); }
static inline Floats divide(Floats a, Floats b) { return wasm_f32x4_div(a, b); }
static inline Floats magnitude(Floats x) { return wasm_f32x4_abs(x); }

static inline Floats negative_magnitude(Floats x) { return wasm_f32x4_neg(wasm_f32x4_abs(x)); }
static inline Floats power_of_two(Floats n) {  // 2^n, n whole, -126 to 127
  return wasm_i32x4_shl(wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(n), wasm_i32x4_splat(127)), 23);
}
static inline Floats where_less(Floats a, Floats b, Floats yes, Floats no) {  // a < b ? yes : no
  return wasm_v128_bitselect(yes, no, wasm_f32x4_lt(a, b));
}

static inline Floats larger(Floats x, Floats m) { return wasm_f32x4_pmax(m, x); }   // x > m ? x : m
static inline Floats smaller(Floats x, Floats m) { return wasm_f32x4_pmin(m, x); }  // x < m ? x : m

static inline Floats where_not_negative(Floats y, Floats other) {
  return wasm_v128_bitselect(y, other, wasm_f32x4_ge(y, wasm_f32x4_splat(0.0f)));
}
static inline uint32_t not_negative(Floats y) {  // a bit a lane: y >= 0
  return wasm_i32x4_bitmask(wasm_f32x4_ge(y, wasm_f32x4_splat(0.0f)));
}

#include "word_of_lanes.h"

// 4 * kLanes numbers from -127 to 127, rounded, a half to even, to bytes.
static inline void store_rounded(int8_t* out, const Floats* y) {
  v128_t n[4];
  for (int i = 0; i < 4; ++i) {
    n[i] = wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(y[i]));
  }
  wasm_v128_store(out,
                  wasm_i8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(n[0], n[1]), wasm_i16x8_narrow_i32x4(n[2], n[3])));
}

// A whole register of a row.
struct AllLanes {
  static inline Floats load(const float* p) { return wasm_v128_load(p); }
  static inline void store(float* p, Floats v) { wasm_v128_store(p, v); }
};

#include "some_lanes.h"

}  // namespace reactnet

#endif  // REACTNET_KERNELS_WASM_SIMD128_LANES_H_
