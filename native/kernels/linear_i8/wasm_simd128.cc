#include <string.h>

#include "linear_i8/linear_i8.h"
#include "wasm_simd128_lanes.h"
#include "wasm_simd128_products.h"

namespace reactnet {
namespace {

#include "products128.h"

using P = Halves;

#include "linear_i8/lanes128.h"

}  // namespace

constexpr LinearI8Kernel linear_i8_wasm_simd128 = {"linear_i8_wasm_simd128", Isa::kWasm, supports, packed_bytes, pack, run};

}  // namespace reactnet
