#include "arm64_neon_lanes.h"
#include "elementwise/blocks.h"

namespace reactnet {
namespace {

#include "sign_words.h"

#include "elementwise/lanes.h"

}  // namespace

constexpr ElementwiseKernel elementwise_arm64_neon = {"elementwise_arm64_neon", Isa::kNeon, run};

}  // namespace reactnet
