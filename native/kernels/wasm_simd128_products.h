// Sums of products of small integers in WebAssembly, under the names that products128.h uses. A register of weights
// holds those of four outputs with kStep numbers of a patch. Functions are static: each file keeps its copy.
#ifndef REACTNET_KERNELS_WASM_SIMD128_PRODUCTS_H_
#define REACTNET_KERNELS_WASM_SIMD128_PRODUCTS_H_

#include <stdint.h>
#include <wasm_simd128.h>

namespace reactnet {

using Sums = v128_t;

static inline Sums load_sums(const int32_t* p) { return wasm_v128_load(p); }
static inline void store_sums(int32_t* p, Sums sums) { wasm_v128_store(p, sums); }
static inline Sums set_sums(int32_t x) { return wasm_i32x4_splat(x); }
static inline Sums subtract_sums(Sums a, Sums b) { return wasm_i32x4_sub(a, b); }
static inline Sums add_sums(Sums a, Sums b) { return wasm_i32x4_add(a, b); }
static inline v128_t to_floats(Sums sums) { return wasm_f32x4_convert_i32x4(sums); }

// int16 with int16: four outputs with two numbers (pmaddwd on x86).
struct Halves {
  using Number = int16_t;
  using Register = v128_t;
  using Input = v128_t;
  static constexpr int kStep = 2;

  static inline int place(int output, int product) { return output * 2 + product; }
  static inline Register load(const int16_t* p) { return wasm_v128_load(p); }
  static inline Input take(const int16_t* p) { return wasm_v128_load32_splat(p); }
  static inline Sums add_products(Sums sums, Input x, Register w) {
    return wasm_i32x4_add(sums, wasm_i32x4_dot_i16x8(x, w));
  }
};

}  // namespace reactnet

#endif  // REACTNET_KERNELS_WASM_SIMD128_PRODUCTS_H_
