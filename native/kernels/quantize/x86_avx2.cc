#include <string.h>

#include "quantize/quantize.h"
#include "x86_avx2_lanes.h"

namespace reactnet {
namespace {

#include "quantize/lanes.h"

}  // namespace

constexpr QuantizeKernel quantize_x86_avx2 = {"quantize_x86_avx2", Isa::kAvx2, max_abs, run};

}  // namespace reactnet
