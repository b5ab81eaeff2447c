// Twenty sums, four registers of weights, and room for a product: of thirty-two registers.
#include <string.h>

#include "arm64_neon_lanes.h"
#include "conv_f32/conv_f32.h"

namespace reactnet {
namespace {

constexpr int kWideTile = 5;
constexpr int kNarrowTile = 10;

#include "conv_f32/lanes.h"

}  // namespace

constexpr ConvF32Kernel conv_f32_arm64_neon = {"conv_f32_arm64_neon", Isa::kNeon, supports, packed_bytes, pack, run};

}  // namespace reactnet
