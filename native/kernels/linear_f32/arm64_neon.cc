#include <string.h>

#include "arm64_neon_lanes.h"
#include "linear_f32/linear_f32.h"

namespace reactnet {
namespace {

constexpr int kSums = 16;

#include "linear_f32/lanes.h"

}  // namespace

constexpr LinearF32Kernel linear_f32_arm64_neon = {
    "linear_f32_arm64_neon", Isa::kNeon, supports, packed_bytes, pack, run};

}  // namespace reactnet
