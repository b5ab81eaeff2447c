// Eight sums and four registers of weights: engines for x86 have sixteen registers.
#include <string.h>

#include "conv_f32/conv_f32.h"
#include "wasm_simd128_lanes.h"

namespace reactnet {
namespace {

constexpr int kWideTile = 2;
constexpr int kNarrowTile = 2;

#include "conv_f32/lanes.h"

}  // namespace

constexpr ConvF32Kernel conv_f32_wasm_simd128 = {"conv_f32_wasm_simd128", Isa::kWasm, supports, packed_bytes, pack, run};

}  // namespace reactnet
