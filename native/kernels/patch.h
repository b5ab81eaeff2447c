// The patch of an output pixel: what its window reads, gathered into one run of numbers in the order of the weights
// (kh, kw, channel of the group). Integer convolutions multiply patches, since their sums have no order: a row of taps
// need not be even, and borders need no code of their own. Functions are static: an ISA file keeps its copy.
#ifndef REACTNET_KERNELS_PATCH_H_
#define REACTNET_KERNELS_PATCH_H_

#include <stdint.h>

#include "window.h"

namespace reactnet {

// The channels first to first + count - 1 of a map of `channels`.
struct ChannelRange {
  int64_t channels, first, count;
};

struct Position {
  int64_t oh, ow;
};

static inline Position position_at(const Window& w, int64_t index) {
  return {index / w.out_width, index % w.out_width};
}

static inline Position next_position(const Window& w, Position p) {
  return p.ow + 1 == w.out_width ? Position{p.oh + 1, 0} : Position{p.oh, p.ow + 1};
}

// Outputs begin to end - 1 of one side have all their taps inside. May be empty.
static inline Taps whole_outputs(int64_t size, int64_t kernel, int64_t stride, int64_t padding, int64_t outputs) {
  const int64_t begin = (padding + stride - 1) / stride;
  const int64_t end = size + padding < kernel ? 0 : (size + padding - kernel) / stride + 1;
  return {begin, end < outputs ? end : outputs};
}

// Which outputs have all their taps inside: most, and they need no care.
struct Whole {
  Taps rows, columns;

  bool has(Position p) const {
    return p.oh >= rows.begin && p.oh < rows.end && p.ow >= columns.begin && p.ow < columns.end;
  }
};

static inline Whole whole_of(const Window& w) {
  return {whole_outputs(w.height, w.kernel_h, w.stride_h, w.padding_h, w.out_height),
          whole_outputs(w.width, w.kernel_w, w.stride_w, w.padding_w, w.out_width)};
}

// Calls copy(where in the patch, index in the map, how many numbers) for each run that lies inside the map.
template <class Copy>
static inline void each_run(const Window& w, Position p, ChannelRange range, Copy copy) {
  const Taps rows = inside_rows(w, p.oh);
  const Taps columns = inside_columns(w, p.ow);
  const int64_t column = p.ow * w.stride_w - w.padding_w;
  for (int64_t kh = rows.begin; kh < rows.end; ++kh) {
    const int64_t row = (p.oh * w.stride_h - w.padding_h + kh) * w.width;
    if (range.count == range.channels) {  // the taps of a row lie side by side
      copy((kh * w.kernel_w + columns.begin) * range.count, (row + column + columns.begin) * range.channels,
           (columns.end - columns.begin) * range.count);
      continue;
    }
    for (int64_t kw = columns.begin; kw < columns.end; ++kw) {
      copy((kh * w.kernel_w + kw) * range.count, (row + column + kw) * range.channels + range.first, range.count);
    }
  }
}

// Where a whole patch of all channels begins in the map; its next row of taps is width * channels further.
static inline int64_t patch_begin(const Window& w, Position p, int64_t channels) {
  return ((p.oh * w.stride_h - w.padding_h) * w.width + p.ow * w.stride_w - w.padding_w) * channels;
}

}  // namespace reactnet

#endif  // REACTNET_KERNELS_PATCH_H_
