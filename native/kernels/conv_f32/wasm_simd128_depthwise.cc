#include "conv_f32/conv_f32.h"
#include "wasm_simd128_lanes.h"

namespace reactnet {
namespace {

constexpr int kTile = 2;

#include "conv_f32/lanes_depthwise.h"

}  // namespace

constexpr ConvF32Kernel conv_f32_wasm_simd128_depthwise = {
    "conv_f32_wasm_simd128_depthwise", Isa::kWasm, supports, packed_bytes, pack, run};

}  // namespace reactnet
