// Twelve sums, two loads of weights, a broadcast: sixteen registers.
#include <string.h>

#include "conv_f32/conv_f32.h"
#include "x86_avx2_lanes.h"

namespace reactnet {
namespace {

constexpr int kWideTile = 6;
constexpr int kNarrowTile = 12;

#include "conv_f32/lanes.h"

}  // namespace

constexpr ConvF32Kernel conv_f32_x86_avx2 = {"conv_f32_x86_avx2", Isa::kAvx2, supports, packed_bytes, pack, run};

}  // namespace reactnet
