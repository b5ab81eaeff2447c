#include "conv_f32/conv_f32.h"
#include "x86_avx512_lanes.h"

namespace reactnet {
namespace {

constexpr int kTile = 4;

#include "conv_f32/lanes_depthwise.h"

}  // namespace

constexpr ConvF32Kernel conv_f32_x86_avx512_depthwise = {
    "conv_f32_x86_avx512_depthwise", Isa::kAvx512, supports, packed_bytes, pack, run};

}  // namespace reactnet
