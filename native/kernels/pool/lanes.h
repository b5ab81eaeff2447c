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

// A window of kTaps taps; 0: of as many as its box says.
template <int kTaps>
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

// A quarter is the same number as a product, for a tenth of the time.
template <>
inline Floats Mean<4>::finish(Floats sum) const {
  return multiply(sum, set_floats(0.25F));
}

template <int kTaps>
struct Maximum {
  explicit inline Maximum(const Box&) {}
  template <class Lanes>
  static inline Floats start(const Lanes& lanes, const float* first) {
    return lanes.load(first);  // it comes again: it is not greater than itself
  }
  static inline Floats take(Floats m, Floats x) { return larger(x, m); }
  static inline Floats finish(Floats m) { return m; }
};

// kCount registers of channels from `first` on, of a window of kRows x kColumns taps; 0: as many as the box says.
template <class Reduce, int kRows, int kColumns, int kCount, class Lanes>
inline void reduce(const PoolArgs& args, const Reduce& op, const Box& box, const float* first, const Lanes& lanes,
                   float* out) {
  const int64_t rows = kRows != 0 ? kRows : box.rows;
  const int64_t columns = kColumns != 0 ? kColumns : box.columns;
  Floats y[kCount];
  for (int i = 0; i < kCount; ++i) {
    y[i] = Reduce::start(lanes, first + i * kLanes);
  }
  for (int64_t h = 0; h < rows; ++h) {
    const float* x = first + h * args.window.width * args.channels;
    for (int64_t w = 0; w < columns; ++w, x += args.channels) {
      for (int i = 0; i < kCount; ++i) {
        y[i] = Reduce::take(y[i], lanes.load(x + i * kLanes));
      }
    }
  }
  for (int i = 0; i < kCount; ++i) {
    lanes.store(out + i * kLanes, op.finish(y[i]));
  }
}

template <template <int> class Reduce, int kRows, int kColumns>
void pixel(const PoolArgs& args, const Box& box, float* out) {
  using Op = Reduce<kRows * kColumns>;
  constexpr int64_t kMany = 4 * kLanes;
  const Op op(box);
  const float* first = box.first;
  int64_t left = args.channels;
  for (; left >= kMany; left -= kMany, first += kMany, out += kMany) {
    reduce<Op, kRows, kColumns, 4>(args, op, box, first, AllLanes(), out);
  }
  for (; left >= kLanes; left -= kLanes, first += kLanes, out += kLanes) {
    reduce<Op, kRows, kColumns, 1>(args, op, box, first, AllLanes(), out);
  }
  if (left > 0) {
    reduce<Op, kRows, kColumns, 1>(args, op, box, first, SomeLanes(left), out);
  }
}

template <Box (*kBox)(const PoolArgs&, int64_t, int64_t), template <int> class Reduce>
void run(const PoolArgs& args, int64_t begin, int64_t end) {
  const int64_t width = args.window.out_width;
  for (int64_t oh = begin; oh < end; ++oh) {
    for (int64_t ow = 0; ow < width; ++ow) {
      const Box box = kBox(args, oh, ow);
      float* out = args.out + (oh * width + ow) * args.channels;
      if (box.rows == 2 && box.columns == 2) {
        pixel<Reduce, 2, 2>(args, box, out);
      } else if (box.rows == 3 && box.columns == 3) {
        pixel<Reduce, 3, 3>(args, box, out);
      } else {
        pixel<Reduce, 0, 0>(args, box, out);
      }
    }
  }
}

#endif  // REACTNET_KERNELS_POOL_LANES_H_
