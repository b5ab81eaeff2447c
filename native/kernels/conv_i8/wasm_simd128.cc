#include <string.h>

#include "conv_i8/conv_i8.h"
#include "patch.h"
#include "wasm_simd128_lanes.h"
#include "wasm_simd128_products.h"

namespace reactnet {
namespace {

#include "products128.h"

using P = Halves;
constexpr int kTile = 2;

#include "conv_i8/lanes128.h"

}  // namespace

constexpr ConvI8Kernel conv_i8_wasm_simd128 = {"conv_i8_wasm_simd128", Isa::kWasm, supports, packed_bytes, pack, run};

}  // namespace reactnet
