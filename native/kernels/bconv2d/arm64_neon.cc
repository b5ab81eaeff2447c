// cnt counts bytes. Four pixels a tile: sixteen sums in thirty-two registers.
#include <arm_neon.h>
#include <string.h>

#include "bconv2d/bconv2d.h"

namespace reactnet {
namespace {

constexpr int kTile = 4;

using Words = uint64x2_t;
using Bytes = uint8x16_t;
using Sums = int32x4_t;
using Floats = float32x4_t;

Words broadcast(uint64_t word) { return vdupq_n_u64(word); }

Bytes zero_bytes() { return vdupq_n_u8(0); }
Bytes add_differing(Bytes sum, Words bits, const uint64_t* weight) {
  return vaddq_u8(sum, vcntq_u8(vreinterpretq_u8_u64(veorq_u64(bits, vld1q_u64(weight)))));
}

Sums zero_sums() { return vdupq_n_s32(0); }
Sums load_sums(const int32_t* p) { return vld1q_s32(p); }
void store_sums(int32_t* p, Sums sums) { vst1q_s32(p, sums); }
Sums minus_twice(int32_t base, Sums sums) { return vsubq_s32(vdupq_n_s32(base), vshlq_n_s32(sums, 1)); }
Sums add_counts(Sums sums, Bytes first, Bytes second) {
  const uint32x4_t low = vpaddlq_u16(vpaddlq_u8(first));  // output 0 in lanes 0 and 1, output 1 in 2 and 3
  const uint32x4_t high = vpaddlq_u16(vpaddlq_u8(second));
  return vaddq_s32(sums, vreinterpretq_s32_u32(vpaddq_u32(low, high)));
}

Floats to_floats(Sums sums) { return vcvtq_f32_s32(sums); }
Floats load_floats(const float* p) { return vld1q_f32(p); }
void store_floats(float* p, Floats y) { vst1q_f32(p, y); }
Floats multiply(Floats a, Floats b) { return vmulq_f32(a, b); }
Floats add(Floats a, Floats b) { return vaddq_f32(a, b); }
Floats where_not_negative(Floats y, Floats other) { return vbslq_f32(vcgezq_f32(y), y, other); }
uint64_t not_negative(Floats y) {
  const uint32_t places[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(vcgezq_f32(y), vld1q_u32(places)));
}

#include "bconv2d/lanes128.h"

}  // namespace

constexpr BConv2dKernel bconv2d_arm64_neon = {"bconv2d_arm64_neon", Isa::kNeon, supports, packed_bytes, pack,
                                              scratch_bytes,        run};

}  // namespace reactnet
