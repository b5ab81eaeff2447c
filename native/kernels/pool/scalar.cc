// A pixel's sums or maxima live in the output itself: the inner loops run over channels, for the compiler to vectorise.
#include <string.h>

#include "pool/pool.h"
#include "select.h"

namespace reactnet {
namespace {

struct Box {
  int64_t top, bottom, left, right;  // bottom and right are one past the end
};

Box window_box(const Window& w, int64_t oh, int64_t ow) {
  const Taps rows = inside_rows(w, oh);
  const Taps columns = inside_columns(w, ow);
  const int64_t top = oh * w.stride_h - w.padding_h;
  const int64_t left = ow * w.stride_w - w.padding_w;
  return {top + rows.begin, top + rows.end, left + columns.begin, left + columns.end};
}

Box bin_box(const Window& w, int64_t oh, int64_t ow) {
  return {oh * w.height / w.out_height, ((oh + 1) * w.height + w.out_height - 1) / w.out_height,
          ow * w.width / w.out_width, ((ow + 1) * w.width + w.out_width - 1) / w.out_width};
}

void mean(const PoolArgs& args, const Box& box, float* __restrict out) {
  const int64_t channels = args.channels;
  memset(out, 0, static_cast<size_t>(channels) * sizeof(float));
  for (int64_t h = box.top; h < box.bottom; ++h) {
    for (int64_t w = box.left; w < box.right; ++w) {
      const float* __restrict x = args.in + (h * args.window.width + w) * channels;
      for (int64_t c = 0; c < channels; ++c) {
        out[c] = out[c] + x[c];
      }
    }
  }
  const float count = static_cast<float>((box.bottom - box.top) * (box.right - box.left));
  for (int64_t c = 0; c < channels; ++c) {
    out[c] = out[c] / count;
  }
}

void maximum(const PoolArgs& args, const Box& box, float* __restrict out) {
  const int64_t channels = args.channels;
  const float* first = args.in + (box.top * args.window.width + box.left) * channels;
  memcpy(out, first, static_cast<size_t>(channels) * sizeof(float));
  for (int64_t h = box.top; h < box.bottom; ++h) {
    for (int64_t w = box.left; w < box.right; ++w) {  // the first tap again: it is not greater than itself
      const float* __restrict x = args.in + (h * args.window.width + w) * channels;
      for (int64_t c = 0; c < channels; ++c) {
        out[c] = select(x[c] > out[c], x[c], out[c]);
      }
    }
  }
}

template <Box (*kBox)(const Window&, int64_t, int64_t), void (*kReduce)(const PoolArgs&, const Box&, float*)>
void run(const PoolArgs& args, int64_t begin, int64_t end) {
  const int64_t width = args.window.out_width;
  for (int64_t oh = begin; oh < end; ++oh) {
    for (int64_t ow = 0; ow < width; ++ow) {
      kReduce(args, kBox(args.window, oh, ow), args.out + (oh * width + ow) * args.channels);
    }
  }
}

}  // namespace

constexpr PoolKernel pool_scalar = {
    "pool_scalar", Isa::kScalar, {run<window_box, mean>, run<window_box, maximum>, run<bin_box, mean>}};

}  // namespace reactnet
