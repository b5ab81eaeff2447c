#include "arm64_neon_lanes.h"
#include "pool/pool.h"

namespace reactnet {
namespace {

#include "pool/lanes.h"

}  // namespace

constexpr PoolKernel pool_arm64_neon = {
    "pool_arm64_neon", Isa::kNeon, {run<window_box, Mean>, run<window_box, Maximum>, run<bin_box, Mean>}};

}  // namespace reactnet
