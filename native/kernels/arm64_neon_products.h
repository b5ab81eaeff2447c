// Sums of products of small integers on aarch64, under the names that products128.h uses. A register of weights holds
// those of four outputs with kStep numbers of a patch. Functions are static: each file keeps its copy.
#ifndef REACTNET_KERNELS_ARM64_NEON_PRODUCTS_H_
#define REACTNET_KERNELS_ARM64_NEON_PRODUCTS_H_

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

namespace reactnet {

using Sums = int32x4_t;

static inline Sums load_sums(const int32_t* p) { return vld1q_s32(p); }
static inline void store_sums(int32_t* p, Sums sums) { vst1q_s32(p, sums); }
static inline Sums set_sums(int32_t x) { return vdupq_n_s32(x); }
static inline Sums subtract_sums(Sums a, Sums b) { return vsubq_s32(a, b); }
static inline Sums add_sums(Sums a, Sums b) { return vaddq_s32(a, b); }
static inline float32x4_t to_floats(Sums sums) { return vcvtq_f32_s32(sums); }

// int16 with int16: smlal takes four outputs with one number.
struct Halves {
  using Number = int16_t;
  using Register = int16x8_t;
  using Input = int16x4_t;
  static constexpr int kStep = 2;

  static inline int place(int output, int product) { return product * 4 + output; }
  static inline Register load(const int16_t* p) { return vld1q_s16(p); }
  static inline Input take(const int16_t* p) {
    int32_t pair;
    memcpy(&pair, p, sizeof(pair));
    return vreinterpret_s16_s32(vdup_n_s32(pair));
  }
  static inline Sums add_products(Sums sums, Input x, Register w) {
    return vmlal_high_lane_s16(vmlal_lane_s16(sums, vget_low_s16(w), x, 0), w, x, 1);
  }
};

// int8 with numbers from -127 to 127: two products fit 16 bits (127 * 128 * 2 = 32,512), so smull, smlal2 and sadalp
// take four outputs with four numbers.
struct Bytes {
  using Number = int8_t;
  using Register = int8x16_t;
  struct Input {
    int8x8_t first;
    int8x16_t second;
  };
  static constexpr int kStep = 4;

  static inline int place(int output, int product) { return product / 2 * 8 + output * 2 + product % 2; }
  static inline Register load(const int8_t* p) { return vld1q_s8(p); }
  static inline Input take(const int8_t* p) {
    int16_t pairs[2];
    memcpy(pairs, p, sizeof(pairs));
    return {vreinterpret_s8_s16(vdup_n_s16(pairs[0])), vreinterpretq_s8_s16(vdupq_n_s16(pairs[1]))};
  }
  static inline Sums add_products(Sums sums, Input x, Register w) {
    return vpadalq_s16(sums, vmlal_high_s8(vmull_s8(vget_low_s8(w), x.first), w, x.second));
  }
};

#if defined(__ARM_FEATURE_DOTPROD)
// sdot: four outputs with four numbers in one instruction, exact in 32 bits.
struct Dots {
  using Number = int8_t;
  using Register = int8x16_t;
  using Input = int8x16_t;
  static constexpr int kStep = 4;

  static inline int place(int output, int product) { return output * 4 + product; }
  static inline Register load(const int8_t* p) { return vld1q_s8(p); }
  static inline Input take(const int8_t* p) {
    int32_t four;
    memcpy(&four, p, sizeof(four));
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
  }
  static inline Sums add_products(Sums sums, Input x, Register w) { return vdotq_s32(sums, w, x); }
};
#endif

}  // namespace reactnet

#endif  // REACTNET_KERNELS_ARM64_NEON_PRODUCTS_H_
