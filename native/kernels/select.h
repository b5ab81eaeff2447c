// A selection of floats that stays one: `choose ? a : b`.
//
// clang 14 makes WebAssembly's f32.max of `x < 0 ? 0 : x`, which turns -0 into +0; of a selection by bits too, unless
// it does not know where the mask comes from.
#ifndef REACTNET_KERNELS_SELECT_H_
#define REACTNET_KERNELS_SELECT_H_

#include <stdint.h>
#include <string.h>

namespace reactnet {

inline float select(bool choose, float a, float b) {
#if defined(__wasm__)
  uint32_t bits_a = 0;
  uint32_t bits_b = 0;
  memcpy(&bits_a, &a, sizeof(a));
  memcpy(&bits_b, &b, sizeof(b));
  uint32_t mask = choose ? ~uint32_t{0} : 0;
  __asm__("" : "+r"(mask));
  const uint32_t bits = (bits_a & mask) | (bits_b & ~mask);
  float chosen = 0;
  memcpy(&chosen, &bits, sizeof(bits));
  return chosen;
#else
  return choose ? a : b;
#endif
}

}  // namespace reactnet

#endif  // REACTNET_KERNELS_SELECT_H_
