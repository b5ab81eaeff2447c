// What taps outside the map take back of a sum: sums of offsets over any part of a window, by their corners. Functions
// are static: an ISA file keeps its copy.
#ifndef REACTNET_KERNELS_CONV_U8_CORNERS_H_
#define REACTNET_KERNELS_CONV_U8_CORNERS_H_

#include <stdint.h>

#include "conv_u8/conv_u8.h"

namespace reactnet {

static inline int64_t corners_of(const ConvU8Shape& s) { return (s.window.kernel_h + 1) * (s.window.kernel_w + 1); }

// What a packed weight begins with: for each output minus the sum of its offsets; then the sums of the offsets above
// and left of each corner between taps, so that four of them give the sum over any part of the window.
static inline int64_t offset_numbers(const ConvU8Shape& s, int64_t padded_outputs) {
  return (1 + corners_of(s)) * padded_outputs;
}

// One output's sums of offsets by corner, `step` apart; modulo 2^32, as a part may be larger than the whole.
static inline void pack_corners(const ConvU8Shape& s, const int32_t* offset, uint32_t* corner, int64_t step) {
  const int64_t columns = s.window.kernel_w + 1;
  for (int64_t row = 1; row <= s.window.kernel_h; ++row) {
    uint32_t sum = 0;
    for (int64_t column = 1; column < columns; ++column, ++offset) {
      sum += static_cast<uint32_t>(*offset);
      corner[(row * columns + column) * step] = corner[((row - 1) * columns + column) * step] + sum;
    }
  }
}

// `packed` holds zeros.
static inline void pack_offsets(const ConvU8Shape& s, const int32_t* offset, int64_t padded_outputs, void* packed) {
  uint32_t* base = static_cast<uint32_t*>(packed);
  uint32_t* corners = base + padded_outputs;
  for (int64_t o = 0; o < s.outputs; ++o) {
    pack_corners(s, offset + o * s.window.kernel_h * s.window.kernel_w, corners + o, padded_outputs);
    base[o] = 0 - corners[(corners_of(s) - 1) * padded_outputs + o];
  }
}

}  // namespace reactnet

#endif  // REACTNET_KERNELS_CONV_U8_CORNERS_H_
