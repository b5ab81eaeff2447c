// Pools in registers of any width: a pixel's sums or maxima of four registers of channels stay there over all taps of
// its window; each still takes its taps in the order of the law.
//
// An ISA's file includes this inside its own anonymous namespace, behind <arch>_<isa>_lanes.h.
#ifndef REACTNET_KERNELS_POOL_LANES_H_
#define REACTNET_KERNELS_POOL_LANES_H_

struct Box {
  const float* first;     // the first tap inside
  int64_t rows, columns;  // taps inside
};

Box window_box(const PoolArgs& args, int64_t oh, int64_t ow) {
  const Window& w = args.window;
  const Taps kh = inside_rows(w, oh);
  const Taps kw = inside_columns(w, ow);
  const int64_t row = oh * w.stride_h - w.padding_h + kh.begin;
  const int64_t column = ow * w.stride_w - w.padding_w + kw.begin;
  return {args.in + (row * w.width + column) * args.channels, kh.end - kh.begin, kw.end - kw.begin};
}

Box bin_box(const PoolArgs& args, int64_t oh, int64_t ow) {
  const Window& w = args.window;
  const int64_t top = oh * w.height / w.out_height;
  const int64_t left = ow * w.width / w.out_width;
  return {args.in + (top * w.width + left) * args.channels,
          ((oh + 1) * w.height + w.out_height - 1) / w.out_height - top,
          ((ow + 1) * w.width + w.out_width - 1) / w.out_width - left};
}

struct Mean {
  Floats count;
  explicit inline Mean(const Box& box) : count(set_floats(static_cast<float>(box.rows * box.columns))) {}
  template <class Lanes>
  static inline Floats start(const Lanes&, const float*) {
    return zero_floats();
  }
  static inline Floats take(Floats sum, Floats x) { return add(sum, x); }
  inline Floats finish(Floats sum) const { return divide(sum, count); }
};

struct Maximum {
  explicit inline Maximum(const Box&) {}
  template <class Lanes>
  static inline Floats start(const Lanes& lanes, const float* first) {
    return lanes.load(first);  // it comes again: it is not greater than itself
  }
  static inline Floats take(Floats m, Floats x) { return larger(x, m); }
  static inline Floats finish(Floats m) { return m; }
};

// kCount registers of channels from box.first on.
template <class Reduce, int kCount, class Lanes>
inline void reduce(const PoolArgs& args, const Reduce& op, const Box& box, const Lanes& lanes, float* out) {
  Floats y[kCount];
  for (int i = 0; i < kCount; ++i) {
    y[i] = Reduce::start(lanes, box.first + i * kLanes);
  }
  for (int64_t h = 0; h < box.rows; ++h) {
    const float* x = box.first + h * args.window.width * args.channels;
    for (int64_t w = 0; w < box.columns; ++w, x += args.channels) {
      for (int i = 0; i < kCount; ++i) {
        y[i] = Reduce::take(y[i], lanes.load(x + i * kLanes));
      }
    }
  }
  for (int i = 0; i < kCount; ++i) {
    lanes.store(out + i * kLanes, op.finish(y[i]));
  }
}

template <class Reduce>
void pixel(const PoolArgs& args, Box box, float* out) {
  constexpr int64_t kMany = 4 * kLanes;
  const Reduce op(box);
  int64_t left = args.channels;
  for (; left >= kMany; left -= kMany, box.first += kMany, out += kMany) {
    reduce<Reduce, 4>(args, op, box, AllLanes(), out);
  }
  for (; left >= kLanes; left -= kLanes, box.first += kLanes, out += kLanes) {
    reduce<Reduce, 1>(args, op, box, AllLanes(), out);
  }
  if (left > 0) {
    reduce<Reduce, 1>(args, op, box, SomeLanes(left), out);
  }
}

template <Box (*kBox)(const PoolArgs&, int64_t, int64_t), class Reduce>
void run(const PoolArgs& args, int64_t begin, int64_t end) {
  const int64_t width = args.window.out_width;
  for (int64_t oh = begin; oh < end; ++oh) {
    for (int64_t ow = 0; ow < width; ++ow) {
      pixel<Reduce>(args, kBox(args, oh, ow), args.out + (oh * width + ow) * args.channels);
    }
  }
}

#endif  // REACTNET_KERNELS_POOL_LANES_H_
