// i8x16.popcnt counts bytes. Two pixels a tile: engines for x86 have sixteen registers.
#include <string.h>
#include <wasm_simd128.h>

#include "bconv2d/bconv2d.h"

namespace reactnet {
namespace {

constexpr int kTile = 2;

using Words = v128_t;
using Bytes = v128_t;
using Sums = v128_t;
using Floats = v128_t;

Words broadcast(uint64_t word) { return wasm_i64x2_splat(static_cast<int64_t>(word)); }

Bytes zero_bytes() { return wasm_i8x16_splat(0); }
Bytes add_differing(Bytes sum, Words bits, const uint64_t* weight) {
  return wasm_i8x16_add(sum, wasm_i8x16_popcnt(wasm_v128_xor(bits, wasm_v128_load(weight))));
}

Sums zero_sums() { return wasm_i32x4_splat(0); }
Sums load_sums(const int32_t* p) { return wasm_v128_load(p); }
void store_sums(int32_t* p, Sums sums) { wasm_v128_store(p, sums); }
Sums minus_twice(int32_t base, Sums sums) { return wasm_i32x4_sub(wasm_i32x4_splat(base), wasm_i32x4_shl(sums, 1)); }
Sums widen(Bytes bytes) { return wasm_u32x4_extadd_pairwise_u16x8(wasm_u16x8_extadd_pairwise_u8x16(bytes)); }
Sums add_counts(Sums sums, Bytes first, Bytes second) {
  const Sums low = widen(first);
  const Sums high = widen(second);
  return wasm_i32x4_add(
      sums, wasm_i32x4_add(wasm_i32x4_shuffle(low, high, 0, 2, 4, 6), wasm_i32x4_shuffle(low, high, 1, 3, 5, 7)));
}

Floats to_floats(Sums sums) { return wasm_f32x4_convert_i32x4(sums); }
Floats load_floats(const float* p) { return wasm_v128_load(p); }
void store_floats(float* p, Floats y) { wasm_v128_store(p, y); }
Floats multiply(Floats a, Floats b) { return wasm_f32x4_mul(a, b); }
Floats add(Floats a, Floats b) { return wasm_f32x4_add(a, b); }
Floats where_not_negative(Floats y, Floats other) {
  return wasm_v128_bitselect(y, other, wasm_f32x4_ge(y, wasm_f32x4_splat(0)));
}
uint64_t not_negative(Floats y) {
  return static_cast<uint64_t>(wasm_i32x4_bitmask(wasm_f32x4_ge(y, wasm_f32x4_splat(0))));
}

#include "bconv2d/lanes128.h"

}  // namespace

constexpr BConv2dKernel bconv2d_wasm_simd128 = {"bconv2d_wasm_simd128", Isa::kWasm, supports, packed_bytes, pack,
                                                scratch_bytes,          run};

}  // namespace reactnet
