#include "arm64_neon_lanes.h"
#include "conv_f32/conv_f32.h"

namespace reactnet {
namespace {

constexpr int kTile = 4;

#include "conv_f32/lanes_depthwise.h"

}  // namespace

constexpr ConvF32Kernel conv_f32_arm64_neon_depthwise = {
    "conv_f32_arm64_neon_depthwise", Isa::kNeon, supports, packed_bytes, pack, run};

}  // namespace reactnet
