#include <string.h>

#include "arm64_neon_lanes.h"
#include "quantize/quantize.h"

namespace reactnet {
namespace {

#include "quantize/lanes.h"

}  // namespace

constexpr QuantizeKernel quantize_arm64_neon = {"quantize_arm64_neon", Isa::kNeon, max_abs, run};

}  // namespace reactnet
