// The activations of a few rows as pair words, and the ones of the p of each window. Part of x86_avx512vpopcntdq.cc
// alone, built with its flags.
#ifndef REACTNET_KERNELS_BCONV2D_X86_AVX512_PLANES_H_
#define REACTNET_KERNELS_BCONV2D_X86_AVX512_PLANES_H_

#include "bconv2d/x86_avx512_layout.h"

namespace reactnet {
namespace {

// Where a pair word of a window is: u32 from the window's first to its a1 and to its p.
struct Place {
  int64_t a, p;
};

// Where things are in the scratch memory, for chunks of `out_rows` rows of outputs.
struct Planes {
  int64_t out_rows;
  int64_t in_rows;     // that they read at most
  int64_t half_words;  // of them
  uint32_t* words;     // in_rows x l.width x l.pixel_step; with neighbours a1, then p to the right, then p below
  Place* places;       // of a window
  int32_t* boxes;      // out_rows x out_width: ones of the p of a window; in the end half of them,
  int32_t* odd;        // and where another one is left, the outputs of a block; or 0
  int32_t* ones;       // of the p of a pixel: in_rows x l.width
  uint64_t bytes;
};

Planes planes_of(const BConv2dShape& s, const Layout& l, void* scratch) {
  const Window& w = s.window;
  const int64_t planes = l.neighbours ? kNeighbourPlanes : 1;
  const int64_t row_bytes = l.width * l.pixel_step * planes * 4;
  const int64_t rows = kPlaneBytes / row_bytes - w.kernel_h;
  int64_t out_rows = rows < 0 ? 1 : rows / w.stride_h + 1;
  out_rows = out_rows < w.out_height ? out_rows : w.out_height;
  Planes p = {};
  p.out_rows = out_rows;
  p.in_rows = (out_rows - 1) * w.stride_h + w.kernel_h;
  p.in_rows = l.neighbours || p.in_rows < w.height ? p.in_rows : w.height;
  p.half_words = p.in_rows * l.width * l.pixel_step;
  const int64_t places = l.columns * l.column_words;
  const int64_t boxes = out_rows * w.out_width;
  const int64_t ones = l.neighbours || is_flat(w) ? 0 : p.in_rows * l.width;
  p.places = static_cast<Place*>(scratch);
  p.bytes = static_cast<uint64_t>(places) * sizeof(Place) +
            static_cast<uint64_t>(planes * p.half_words + 2 * boxes + ones) * 4;
  if (scratch != nullptr) {
    p.words = reinterpret_cast<uint32_t*>(p.places + places);
    p.boxes = reinterpret_cast<int32_t*>(p.words + planes * p.half_words);
    p.odd = p.boxes + boxes;
    p.ones = p.odd + boxes;
  }
  return p;
}

void list_places(const Layout& l, const Planes& p) {
  for (int64_t i = 0; l.neighbours && i < kNeighbourPairs; ++i) {
    const int64_t a = kTapOfPair[i][0][0] * l.width + kTapOfPair[i][0][1];
    p.places[i] = {a, a + kPlaneOfPair[i] * p.half_words};
  }
  for (int64_t i = 0; !l.neighbours && i < l.columns * l.column_words; ++i) {
    const int64_t kh = i % l.column_words / l.pixel_words;
    const int64_t a = (kh * l.width + i / l.column_words) * l.pixel_step + 2 * (i % l.pixel_words);
    p.places[i] = {a, a + 1};
  }
}

// Eight words of a1 and a2 become words of a1 and p.
__m512i pair(__m512i v) { return _mm512_xor_si512(v, _mm512_slli_epi64(v, 32)); }

// f(i, left) for every sixteenth i below `count`, of which `left` are left: a number known to be sixteen but for the
// last.
template <class F>
inline __attribute__((always_inline)) void each_sixteen(int64_t count, const F& f) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    f(i, kLanes);
  }
  if (i < count) {
    f(i, count - i);
  }
}

__m512i even_lanes(__m512i a, __m512i b) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  return _mm512_permutex2var_epi32(a, even, b);
}

__m512i odd_lanes(__m512i a, __m512i b) {
  const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  return _mm512_permutex2var_epi32(a, odd, b);
}

// Eight words of the map become pair words.
inline __attribute__((always_inline)) __m512i pair_words(const uint64_t* in, uint32_t* out, int64_t left) {
  const __mmask16 halves = lanes_left(2 * left);
  const __m512i words = pair(_mm512_maskz_loadu_epi32(halves, in));
  _mm512_mask_storeu_epi32(out, halves, words);
  return words;
}

// Sixteen pixels of kWords words each become pair words; `left` words are left in the map. Returns the ones of their p.
template <int kWords>
inline __attribute__((always_inline)) __m512i pair_pixels(const uint64_t* in, uint32_t* out, int64_t left) {
  constexpr int64_t kHalf = 8 * kWords;
  if constexpr (kWords == 1) {
    const __m512i first = pair_words(in, out, left);
    const __m512i second = pair_words(in + kHalf, out + 2 * kHalf, left - kHalf);
    return odd_lanes(_mm512_popcnt_epi32(first), _mm512_popcnt_epi32(second));
  } else {
    const __m512i first = pair_pixels<kWords / 2>(in, out, left);
    const __m512i second = pair_pixels<kWords / 2>(in + kHalf, out + 2 * kHalf, left - kHalf);
    return _mm512_add_epi32(even_lanes(first, second), odd_lanes(first, second));
  }
}

template <int kWords>
void pair_map(const uint64_t* in, int64_t pixels, uint32_t* out, int32_t* ones_out) {
  each_sixteen(
      pixels, [&](int64_t i, int64_t left) __attribute__((always_inline)) {
        const __m512i sums = pair_pixels<kWords>(in + i * kWords, out + 2 * i * kWords, left * kWords);
        _mm512_mask_storeu_epi32(ones_out + i, lanes_left(left), sums);
      });
}

// The pair words of pixels of the map, one after the other, and the ones of p of each.
void pair_map(const uint64_t* in, int64_t pixels, int64_t words, uint32_t* out, int32_t* ones_out) {
  const auto pair_map_of = words == 1    ? pair_map<1>
                           : words == 2  ? pair_map<2>
                           : words == 4  ? pair_map<4>
                           : words == 8  ? pair_map<8>
                           : words == 16 ? pair_map<16>
                                         : nullptr;
  if (pair_map_of != nullptr) {
    pair_map_of(in, pixels, out, ones_out);
    return;
  }
  for (int64_t x = 0; x < pixels; ++x, in += words, out += 2 * words) {
    __m512i sums = _mm512_setzero_si512();
    for (int64_t k = 0; k < words; k += 8) {
      sums = _mm512_add_epi32(sums, _mm512_popcnt_epi32(pair_words(in + k, out + 2 * k, words - k)));
    }
    int32_t halves[kLanes];
    _mm512_storeu_si512(halves, sums);
    ones_out[x] = 0;
    for (int64_t i = 1; i < kLanes; i += 2) {
      ones_out[x] += halves[i];
    }
  }
}

// Sixteen boxes from box i on, of which `left` are there.
inline __attribute__((always_inline)) void store_boxes(const Layout& l, const Planes& p, int64_t i, __m512i boxes,
                                                       int64_t left) {
  const __mmask16 odd = _mm512_test_epi32_mask(boxes, _mm512_set1_epi32(1));
  const __m512i outputs = _mm512_set1_epi32(static_cast<int>(l.registers * kLanes));
  _mm512_mask_storeu_epi32(p.boxes + i, lanes_left(left), _mm512_srli_epi32(boxes, 1));
  _mm512_mask_storeu_epi32(p.odd + i, lanes_left(left), _mm512_maskz_mov_epi32(odd, outputs));
}

// Sums of a column of each window: sixteen windows, whose taps are `x`, x + stride and so on of the rows begin to
// end - 1. What is outside of the rows adds nothing.
__m512i sum_spread_columns(const int32_t* ones, int64_t width, Taps rows, int64_t x, int64_t stride) {
  int32_t sums[kLanes] = {};
  for (int64_t i = 0; i < kLanes; ++i) {
    for (int64_t y = rows.begin; y < rows.end && x + i * stride >= 0 && x + i * stride < width; ++y) {
      sums[i] += ones[y * width + x + i * stride];
    }
  }
  return _mm512_loadu_si512(sums);
}

// The same for windows side by side, and for every other one.
template <int kStride>
inline __attribute__((always_inline)) __m512i sum_columns(const int32_t* ones, int64_t width, Taps rows, int64_t x) {
  const __mmask16 first = lanes_left(width - x) & static_cast<__mmask16>(~lanes_left(-x));
  const __mmask16 second = lanes_left(width - x - kLanes);
  __m512i sums = _mm512_setzero_si512();
  __m512i more = _mm512_setzero_si512();
  for (int64_t y = rows.begin; y < rows.end; ++y) {
    const int32_t* at = ones + y * width + x;
    sums = _mm512_add_epi32(sums, _mm512_maskz_loadu_epi32(first, at));
    if constexpr (kStride == 2) {
      more = _mm512_add_epi32(more, _mm512_maskz_loadu_epi32(second, at + kLanes));
    }
  }
  return kStride == 2 ? even_lanes(sums, more) : sums;
}

// Boxes of output rows begin to end - 1; the planes begin with row `first` of the map.
void sum_boxes(const BConv2dShape& s, const Layout& l, const Planes& p, int64_t first, int64_t begin, int64_t end) {
  const Window& w = s.window;
  for (int64_t oh = begin; oh < end; ++oh) {
    const int64_t top = oh * w.stride_h - w.padding_h;
    const Taps kh = inside_rows(w, oh);
    const Taps rows = {top + kh.begin - first, top + kh.end - first};
    each_sixteen(
        w.out_width, [&](int64_t ow, int64_t left) __attribute__((always_inline)) {
          __m512i sums = _mm512_setzero_si512();
          for (int64_t k = 0; k < w.kernel_w; ++k) {
            const int64_t x = ow * w.stride_w - w.padding_w + k;
            const __m512i column = w.stride_w == 1   ? sum_columns<1>(p.ones, l.width, rows, x)
                                   : w.stride_w == 2 ? sum_columns<2>(p.ones, l.width, rows, x)
                                                     : sum_spread_columns(p.ones, l.width, rows, x, w.stride_w);
            sums = _mm512_add_epi32(sums, column);
          }
          store_boxes(l, p, (oh - begin) * w.out_width + ow, sums, left);
        });
  }
}

// Boxes that stand whole where halves of them are to be.
void halve_boxes(const Layout& l, const Planes& p, int64_t count) {
  each_sixteen(
      count, [&](int64_t i, int64_t left) __attribute__((always_inline)) {
        store_boxes(l, p, i, _mm512_maskz_loadu_epi32(lanes_left(left), p.boxes + i), left);
      });
}

void xor_words(const uint32_t* a, const uint32_t* b, int64_t count, uint32_t* out) {
  each_sixteen(
      count, [&](int64_t i, int64_t left) __attribute__((always_inline)) {
        const __mmask16 on = lanes_left(left);
        const __m512i words =
            _mm512_xor_si512(_mm512_maskz_loadu_epi32(on, a + i), _mm512_maskz_loadu_epi32(on, b + i));
        _mm512_mask_storeu_epi32(out + i, on, words);
      });
}

// The half words of the rows `top` on of the map in a border of zeros, and the p of each with its neighbour to the
// right and below. The last column's and the last row's mean nothing; nobody reads them.
void pair_neighbours(const uint64_t* in, const Window& w, const Layout& l, const Planes& p, int64_t top, int64_t rows) {
  const int64_t left = w.padding_w < l.width ? w.padding_w : l.width;
  const int64_t inside = l.width - left < w.width ? l.width - left : w.width;
  uint32_t* half = p.words;
  for (int64_t y = top; y < top + rows; ++y, half += l.width) {
    memset(half, 0, static_cast<size_t>(l.width) * 4);
    const uint64_t* row = in + y * w.width;
    const int64_t halves = y >= 0 && y < w.height ? inside : 0;
    each_sixteen(
        halves, [&](int64_t x, int64_t more) __attribute__((always_inline)) {
          const __m512i first = _mm512_maskz_loadu_epi32(lanes_left(2 * more), row + x);
          const __m512i second = _mm512_maskz_loadu_epi32(lanes_left(2 * more - kLanes), row + x + 8);
          _mm512_mask_storeu_epi32(half + left + x, lanes_left(more), even_lanes(first, second));
        });
  }
  const int64_t count = rows * l.width;
  uint32_t* right = p.words + p.half_words;
  xor_words(p.words, p.words + 1, count - 1, right);
  xor_words(p.words, p.words + l.width, count - l.width, right + p.half_words);
}

void sum_neighbours(const BConv2dShape& s, const Layout& l, const Planes& p, int64_t rows) {
  const Window& w = s.window;
  for (int64_t oh = 0; oh < rows; ++oh) {
    const uint32_t* at[kNeighbourPairs];
    for (int64_t r = 0; r < kNeighbourPairs; ++r) {
      at[r] = p.words + oh * w.stride_h * l.width + p.places[r].p;
    }
    int32_t* box = p.boxes + oh * w.out_width;
    for (int64_t ow = 0; ow < w.out_width; ++ow) {
      const int64_t x = ow * w.stride_w;
      box[ow] = __builtin_popcount(at[0][x]) + __builtin_popcount(at[1][x]) + __builtin_popcount(at[2][x]) +
                __builtin_popcount(at[3][x]) + __builtin_popcount(at[4][x]);
    }
  }
}

// Planes and boxes for output rows begin to end - 1; returns the row of the map that the planes begin with.
int64_t make_planes(const BConv2dArgs& args, const Layout& l, const Planes& p, int64_t begin, int64_t end) {
  const BConv2dShape& s = args.shape;
  const Window& w = s.window;
  const int64_t top = begin * w.stride_h - w.padding_h;
  const int64_t bottom = (end - 1) * w.stride_h - w.padding_h + w.kernel_h;
  if (l.neighbours) {
    pair_neighbours(args.in, w, l, p, top, bottom - top);
    sum_neighbours(s, l, p, end - begin);
    halve_boxes(l, p, (end - begin) * w.out_width);
    return top;
  }
  const int64_t first = top < 0 ? 0 : top;
  const int64_t pixels = ((bottom < w.height ? bottom : w.height) - first) * w.width;
  const uint64_t* in = args.in + first * w.width * l.pixel_words;
  pair_map(in, pixels, l.pixel_words, p.words, is_flat(w) ? p.boxes : p.ones);
  if (is_flat(w)) {
    halve_boxes(l, p, pixels);
  } else {
    sum_boxes(s, l, p, first, begin, end);
  }
  return first;
}

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_BCONV2D_X86_AVX512_PLANES_H_
