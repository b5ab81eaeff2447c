#include "pool/pool.h"
#include "wasm_simd128_lanes.h"

namespace reactnet {
namespace {

#include "pool/lanes.h"

}  // namespace

constexpr PoolKernel pool_wasm_simd128 = {"pool_wasm_simd128", Isa::kWasm, {run<window_box, Mean>, run<window_box, Maximum>, run<bin_box, Mean>}};

}  // namespace reactnet
