#include "sign/sign.h"
#include "wasm_simd128_lanes.h"

namespace reactnet {
namespace {

#include "sign_words.h"

#include "sign/lanes.h"

}  // namespace

constexpr SignKernel sign_wasm_simd128 = {"sign_wasm_simd128", Isa::kWasm, run};

}  // namespace reactnet
