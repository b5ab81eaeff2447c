// cnt counts bytes; bsl selects bits. Four pixels a tile: sixteen sums, eight registers of weights, two of a pixel and
// one to work in, of thirty-two.
#include <string.h>

#include "arm64_neon_lanes.h"
#include "arm64_neon_products.h"
#include "bconv2d/bconv2d.h"

namespace reactnet {
namespace {

constexpr int kTile = 4;

using Words = uint64x2_t;
using Bytes = uint8x16_t;

Words broadcast(const uint64_t* word) { return vld1q_dup_u64(word); }

Bytes zero_bytes() { return vdupq_n_u8(0); }
Bytes add_differing(Bytes sum, Words bits, const uint64_t* weight) {
  return vaddq_u8(sum, vcntq_u8(vreinterpretq_u8_u64(veorq_u64(bits, vld1q_u64(weight)))));
}
Bytes add_pair(Bytes sum, Words second, Words alike, const uint64_t* weight, const uint64_t* differing) {
  const Words both = vbslq_u64(veorq_u64(second, vld1q_u64(weight)), alike, vld1q_u64(differing));
  return vaddq_u8(sum, vcntq_u8(vreinterpretq_u8_u64(both)));
}
Sums add_counts(Sums sums, Bytes first, Bytes second) {
  const uint32x4_t low = vpaddlq_u16(vpaddlq_u8(first));  // output 0 in lanes 0 and 1, output 1 in 2 and 3
  const uint32x4_t high = vpaddlq_u16(vpaddlq_u8(second));
  return vaddq_s32(sums, vreinterpretq_s32_u32(vpaddq_u32(low, high)));
}

#include "bconv2d/lanes128.h"

}  // namespace

constexpr BConv2dKernel bconv2d_arm64_neon = {"bconv2d_arm64_neon", Isa::kNeon, supports, packed_bytes, pack,
                                              scratch_bytes,        run};

}  // namespace reactnet
