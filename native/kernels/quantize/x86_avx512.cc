#include <string.h>

#include "quantize/quantize.h"
#include "x86_avx512_lanes.h"

namespace reactnet {
namespace {

#include "quantize/lanes.h"

}  // namespace

constexpr QuantizeKernel quantize_x86_avx512 = {"quantize_x86_avx512", Isa::kAvx512, max_abs, run};

}  // namespace reactnet
