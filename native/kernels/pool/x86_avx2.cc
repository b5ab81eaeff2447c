// A pixel's sums or maxima of 32 channels stay in four registers over all taps of its window; each still takes its taps
// in the order of the law.
#include <immintrin.h>

#include "pool/pool.h"
#include "x86_avx2_lanes.h"

namespace reactnet {
namespace {

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
  __m256 count;
  explicit inline Mean(const Box& box) : count(_mm256_set1_ps(static_cast<float>(box.rows * box.columns))) {}
  template <class Lanes>
  static inline __m256 start(const Lanes&, const float*) {
    return _mm256_setzero_ps();
  }
  static inline __m256 take(__m256 sum, __m256 x) { return _mm256_add_ps(sum, x); }
  inline __m256 finish(__m256 sum) const { return _mm256_div_ps(sum, count); }
};

struct Maximum {
  explicit inline Maximum(const Box&) {}
  template <class Lanes>
  static inline __m256 start(const Lanes& lanes, const float* first) {
    return lanes.load(first);  // it comes again: it is not greater than itself
  }
  // x > m ? x : m. The instruction's maximum takes its second operand where they compare equal or with a NaN.
  static inline __m256 take(__m256 m, __m256 x) { return _mm256_blendv_ps(m, x, _mm256_cmp_ps(x, m, _CMP_GT_OQ)); }
  static inline __m256 finish(__m256 m) { return m; }
};

// kCount x 8 channels from box.first on.
template <class Reduce, int kCount, class Lanes>
inline void reduce(const PoolArgs& args, const Reduce& op, const Box& box, const Lanes& lanes, float* out) {
  __m256 y[kCount];
  for (int i = 0; i < kCount; ++i) {
    y[i] = Reduce::start(lanes, box.first + i * 8);
  }
  for (int64_t h = 0; h < box.rows; ++h) {
    const float* x = box.first + h * args.window.width * args.channels;
    for (int64_t w = 0; w < box.columns; ++w, x += args.channels) {
      for (int i = 0; i < kCount; ++i) {
        y[i] = Reduce::take(y[i], lanes.load(x + i * 8));
      }
    }
  }
  for (int i = 0; i < kCount; ++i) {
    lanes.store(out + i * 8, op.finish(y[i]));
  }
}

template <class Reduce>
void pixel(const PoolArgs& args, Box box, float* out) {
  const Reduce op(box);
  int64_t left = args.channels;
  for (; left >= 32; left -= 32, box.first += 32, out += 32) {
    reduce<Reduce, 4>(args, op, box, AllLanes(), out);
  }
  for (; left >= 8; left -= 8, box.first += 8, out += 8) {
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

}  // namespace

constexpr PoolKernel pool_x86_avx2 = {
    "pool_x86_avx2", Isa::kAvx2, {run<window_box, Mean>, run<window_box, Maximum>, run<bin_box, Mean>}};

}  // namespace reactnet
