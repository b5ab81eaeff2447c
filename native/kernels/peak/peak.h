// The measure that binary kernels are held against: how many one-bit products this core can xor, popcount and add up
// when nothing else stands in the way. Operands and sums stay in registers; a loop's only work is that.
#ifndef REACTNET_KERNELS_PEAK_PEAK_H_
#define REACTNET_KERNELS_PEAK_PEAK_H_

#include <stdint.h>

#include "isa.h"

namespace reactnet {

// `run` counts rounds * products bits and returns a number that depends on all of them, so that none is left out.
struct PeakLoop {
  const char* name;
  Isa isa;
  int64_t products;  // of a round
  uint64_t (*run)(int64_t rounds, uint64_t seed);
};

extern const PeakLoop peak_scalar;
#if defined(__x86_64__)
extern const PeakLoop peak_x86_avx2_popcnt;       // 64 bits, the popcnt that every processor with AVX2 has
extern const PeakLoop peak_x86_avx2_shuffle;      // counts of nibbles by pshufb (Mula)
extern const PeakLoop peak_x86_avx2_harley_seal;  // the same behind a tree of carry-save adders
extern const PeakLoop peak_x86_avx512vpopcntdq;
#elif defined(__aarch64__)
extern const PeakLoop peak_arm64_neon;
#endif

}  // namespace reactnet

#endif  // REACTNET_KERNELS_PEAK_PEAK_H_
