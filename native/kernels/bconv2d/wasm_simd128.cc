// i8x16.popcnt counts bytes; v128.bitselect selects bits. Two pixels a tile: engines for x86 have sixteen registers.
#include <string.h>

#include "bconv2d/bconv2d.h"
#include "wasm_simd128_lanes.h"
#include "wasm_simd128_products.h"

namespace reactnet {
namespace {

constexpr int kTile = 2;

using Words = v128_t;
using Bytes = v128_t;

Words broadcast(const uint64_t* word) { return wasm_v128_load64_splat(word); }

Bytes zero_bytes() { return wasm_i8x16_splat(0); }
Bytes add_differing(Bytes sum, Words bits, const uint64_t* weight) {
  return wasm_i8x16_add(sum, wasm_i8x16_popcnt(wasm_v128_xor(bits, wasm_v128_load(weight))));
}
Bytes add_pair(Bytes sum, Words second, Words alike, const uint64_t* weight, const uint64_t* differing) {
  const Words where = wasm_v128_xor(second, wasm_v128_load(weight));
  return wasm_i8x16_add(sum, wasm_i8x16_popcnt(wasm_v128_bitselect(alike, wasm_v128_load(differing), where)));
}
Sums widen(Bytes bytes) { return wasm_u32x4_extadd_pairwise_u16x8(wasm_u16x8_extadd_pairwise_u8x16(bytes)); }
Sums add_counts(Sums sums, Bytes first, Bytes second) {
  const Sums low = widen(first);
  const Sums high = widen(second);
  return wasm_i32x4_add(
      sums, wasm_i32x4_add(wasm_i32x4_shuffle(low, high, 0, 2, 4, 6), wasm_i32x4_shuffle(low, high, 1, 3, 5, 7)));
}

#include "bconv2d/lanes128.h"

}  // namespace

constexpr BConv2dKernel bconv2d_wasm_simd128 = {"bconv2d_wasm_simd128", Isa::kWasm, supports, packed_bytes, pack,
                                                scratch_bytes,          run};

}  // namespace reactnet
