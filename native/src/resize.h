// Antialiased bilinear resize of 8-bit pixels, equal to Pillow's to the bit (docs/format.md, section 4), and the
// preprocessing of a model built on it.
#ifndef REACTNET_SRC_RESIZE_H_
#define REACTNET_SRC_RESIZE_H_

#include <cstdint>

#include "graph.h"

namespace reactnet {

struct Pixels {
  const std::uint8_t* data;  // rows packed, channels last
  Shape shape;
};

// What part of the resized image is wanted.
struct Part {
  std::int64_t top;
  std::int64_t left;
  std::int64_t height;
  std::int64_t width;
};

// Resizes `image` to `size` [h, w] and writes `part` of the result to `out`. Faults: ARGUMENT (sizes).
void resize(const Pixels& image, const Pair& size, const Part& part, std::uint8_t* out);

// Resize and centre-crop. Faults: ARGUMENT (sizes).
void preprocess(const Preprocessing& how, const Pixels& image, std::uint8_t* out);

}  // namespace reactnet

#endif  // REACTNET_SRC_RESIZE_H_
