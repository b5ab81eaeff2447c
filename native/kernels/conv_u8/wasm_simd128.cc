#include <string.h>

#include "conv_u8/conv_u8.h"
#include "patch.h"
#include "wasm_simd128_lanes.h"
#include "wasm_simd128_products.h"

namespace reactnet {
namespace {

#include "products128.h"

using P = Halves;
constexpr int kTile = 2;

#include "conv_u8/lanes128.h"

}  // namespace

constexpr ConvU8Kernel conv_u8_wasm_simd128 = {"conv_u8_wasm_simd128", Isa::kWasm, supports, packed_bytes, pack, run};

}  // namespace reactnet
