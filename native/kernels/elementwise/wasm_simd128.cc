#include "elementwise/blocks.h"
#include "wasm_simd128_lanes.h"

namespace reactnet {
namespace {

#include "sign_words.h"

#include "elementwise/lanes.h"

}  // namespace

constexpr ElementwiseKernel elementwise_wasm_simd128 = {"elementwise_wasm_simd128", Isa::kWasm, run};

}  // namespace reactnet
