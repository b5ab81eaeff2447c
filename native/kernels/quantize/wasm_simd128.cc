#include <string.h>

#include "quantize/quantize.h"
#include "wasm_simd128_lanes.h"

namespace reactnet {
namespace {

#include "quantize/lanes.h"

}  // namespace

constexpr QuantizeKernel quantize_wasm_simd128 = {"quantize_wasm_simd128", Isa::kWasm, max_abs, run};

}  // namespace reactnet
