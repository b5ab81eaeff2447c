#include <arm_neon.h>

#include "peak/peak.h"

namespace reactnet {
namespace {

constexpr int kSums = 8;
constexpr int kFlush = 31;  // words whose bits a byte counts

uint64_t run(int64_t rounds, uint64_t seed) {
  uint8x16_t x = vreinterpretq_u8_u64(vdupq_n_u64(seed));
  uint8x16_t words[kSums];
  for (int i = 0; i < kSums; ++i) {
    words[i] = vreinterpretq_u8_u64(vdupq_n_u64(seed * static_cast<uint64_t>(2 * i + 1)));
  }
  uint64_t total = 0;
  for (int64_t r = 0; r < rounds; ++r) {
    uint8x16_t bytes[kSums] = {};
    for (int k = 0; k < kFlush; ++k) {
      __asm__ volatile("" : "+w"(x));  // a word that the compiler knows nothing of
      for (int i = 0; i < kSums; ++i) {
        bytes[i] = vaddq_u8(bytes[i], vcntq_u8(veorq_u8(x, words[i])));
      }
    }
    for (int i = 0; i < kSums; ++i) {
      total += vaddlvq_u8(bytes[i]);
    }
  }
  return total;
}

}  // namespace

constexpr PeakLoop peak_arm64_neon = {"neon cnt", Isa::kNeon, kSums* kFlush * 128, run};

}  // namespace reactnet
