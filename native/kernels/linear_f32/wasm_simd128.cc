#include <string.h>

#include "linear_f32/linear_f32.h"
#include "wasm_simd128_lanes.h"

namespace reactnet {
namespace {

constexpr int kSums = 8;

#include "linear_f32/lanes.h"

}  // namespace

constexpr LinearF32Kernel linear_f32_wasm_simd128 = {
    "linear_f32_wasm_simd128", Isa::kWasm, supports, packed_bytes, pack, run};

}  // namespace reactnet
