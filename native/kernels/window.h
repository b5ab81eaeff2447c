// How a kernel window moves over a map: shared by convolutions and pools. Functions are static: an ISA file keeps its
// copy.
#ifndef REACTNET_KERNELS_WINDOW_H_
#define REACTNET_KERNELS_WINDOW_H_

#include <stdint.h>

namespace reactnet {

// Tap (kh, kw) of output (oh, ow) reads input (oh * stride_h - padding_h + kh, ow * stride_w - padding_w + kw).
struct Window {
  int64_t height, width;          // of the input map
  int64_t out_height, out_width;  // of the output map
  int64_t kernel_h, kernel_w;
  int64_t stride_h, stride_w;
  int64_t padding_h, padding_w;
};

// Taps begin to end - 1 of one output row or column fall inside the map. May be empty.
struct Taps {
  int64_t begin, end;
};

static inline Taps inside_taps(int64_t first, int64_t kernel, int64_t size) {
  const int64_t begin = first < 0 ? -first : 0;
  int64_t end = size - first < kernel ? size - first : kernel;
  end = end < begin ? begin : end;
  return {begin < end ? begin : end, end};
}

static inline Taps inside_rows(const Window& w, int64_t oh) {
  return inside_taps(oh * w.stride_h - w.padding_h, w.kernel_h, w.height);
}

static inline Taps inside_columns(const Window& w, int64_t ow) {
  return inside_taps(ow * w.stride_w - w.padding_w, w.kernel_w, w.width);
}

// Where the run of outputs ends that begins at `ow` and has the same taps inside as it: at most `most` of one row.
static inline int64_t same_columns_end(const Window& w, int64_t ow, int64_t most) {
  const Taps first = inside_columns(w, ow);
  int64_t end = ow + 1;
  while (end < w.out_width && end < ow + most && inside_columns(w, end).begin == first.begin &&
         inside_columns(w, end).end == first.end) {
    ++end;
  }
  return end;
}

}  // namespace reactnet

#endif  // REACTNET_KERNELS_WINDOW_H_
