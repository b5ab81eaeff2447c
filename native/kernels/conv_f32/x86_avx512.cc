// 28 sums, two registers of weights, a broadcast and a product: thirty-two registers.
#include <string.h>

#include "conv_f32/conv_f32.h"
#include "x86_avx512_lanes.h"

namespace reactnet {
namespace {

constexpr int kWideTile = 14;
constexpr int kNarrowTile = 14;

#include "conv_f32/lanes.h"

#include "conv_f32/x86_avx512_pixels.h"

void run_either(const ConvF32Args& args, int64_t begin, int64_t end) {
  (args.in == nullptr ? run_pixels : run)(args, begin, end);
}

}  // namespace

constexpr ConvF32Kernel conv_f32_x86_avx512 = {
    "conv_f32_x86_avx512", Isa::kAvx512, supports, packed_bytes, pack, run_either, looks_up};

}  // namespace reactnet
