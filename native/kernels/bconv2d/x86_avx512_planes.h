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
  int32_t* ones;       // of a pixel: in_rows x l.width
  int32_t* word_ones;  // of the words of a row, then sums of them
  int32_t* columns;    // sums over a window's rows, with a border of zeros
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
  const int64_t ones = l.neighbours ? 0 : p.in_rows * l.width;
  const int64_t word_ones = l.neighbours ? 0 : l.width * l.pixel_words;
  const int64_t columns = (w.out_width - 1) * w.stride_w + w.kernel_w;
  p.places = static_cast<Place*>(scratch);
  p.bytes = static_cast<uint64_t>(places) * sizeof(Place) +
            static_cast<uint64_t>(planes * p.half_words + 2 * boxes + ones + word_ones + columns) * 4;
  if (scratch != nullptr) {
    p.words = reinterpret_cast<uint32_t*>(p.places + places);
    p.boxes = reinterpret_cast<int32_t*>(p.words + planes * p.half_words);
    p.odd = p.boxes + boxes;
    p.ones = p.odd + boxes;
    p.word_ones = p.ones + ones;
    p.columns = p.word_ones + word_ones;
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

// Sums of neighbours: count numbers become count / 2.
void add_pairs(int32_t* v, int64_t count) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    const __m512i a = _mm512_loadu_si512(v + i);
    const __m512i b = _mm512_loadu_si512(v + i + kLanes);
    const __m512i sums = _mm512_add_epi32(_mm512_permutex2var_epi32(a, even, b), _mm512_permutex2var_epi32(a, odd, b));
    _mm512_storeu_si512(v + i / 2, sums);
  }
  for (; i < count; i += 2) {
    v[i / 2] = v[i] + v[i + 1];
  }
}

// The pair words of a row of the map, and the ones of p of each pixel.
void pair_row(const uint64_t* in, int64_t width, int64_t words, uint32_t* out, int32_t* word_ones, int32_t* ones_out) {
  const int64_t count = width * words;
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm512_storeu_si512(out + 2 * i, pair(_mm512_loadu_si512(in + i)));
  }
  for (; i < count; ++i) {
    out[2 * i] = static_cast<uint32_t>(in[i]);
    out[2 * i + 1] = static_cast<uint32_t>(in[i] ^ in[i] >> 32);
  }
  int32_t* sums = words == 1 ? ones_out : word_ones;
  for (i = 0; i < count; ++i) {
    sums[i] = __builtin_popcount(out[2 * i + 1]);
  }
  for (; words % 2 == 0; words /= 2) {
    add_pairs(sums, width * words);
  }
  if (words == 1 && sums != ones_out) {
    memcpy(ones_out, sums, static_cast<size_t>(width) * 4);
  }
  for (int64_t x = 0; words > 1 && x < width; ++x) {
    ones_out[x] = 0;
    for (int64_t k = 0; k < words; ++k) {
      ones_out[x] += sums[x * words + k];
    }
  }
}

// Adds every stride-th number; the numbers side by side are a loop of their own.
void add_every(int32_t* to, const int32_t* from, int64_t stride, int64_t count) {
  if (stride == 1) {
    for (int64_t i = 0; i < count; ++i) {
      to[i] += from[i];
    }
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    to[i] += from[i * stride];
  }
}

// Boxes of output rows begin to end - 1; the planes begin with row `first` of the map.
void sum_boxes(const BConv2dShape& s, const Layout& l, const Planes& p, int64_t first, int64_t begin, int64_t end) {
  const Window& w = s.window;
  if (is_flat(w)) {
    memcpy(p.boxes, p.ones, static_cast<size_t>((end - begin) * w.out_width) * 4);
    return;
  }
  const int64_t columns = (w.out_width - 1) * w.stride_w + w.kernel_w;
  memset(p.columns, 0, static_cast<size_t>(columns) * 4);
  const int64_t inside = columns - w.padding_w < w.width ? columns - w.padding_w : w.width;
  for (int64_t oh = begin; oh < end; ++oh) {
    const Taps kh = inside_rows(w, oh);
    int32_t* column = p.columns + w.padding_w;
    for (int64_t x = 0; x < inside; ++x) {
      column[x] = 0;
    }
    for (int64_t k = kh.begin; k < kh.end; ++k) {
      add_every(column, p.ones + (oh * w.stride_h - w.padding_h + k - first) * l.width, 1, inside);
    }
    int32_t* box = p.boxes + (oh - begin) * w.out_width;
    memset(box, 0, static_cast<size_t>(w.out_width) * 4);
    for (int64_t k = 0; k < w.kernel_w; ++k) {
      add_every(box, p.columns + k, w.stride_w, w.out_width);
    }
  }
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
    for (int64_t x = 0; x < halves; ++x) {
      half[left + x] = static_cast<uint32_t>(row[x]);
    }
  }
  const int64_t count = rows * l.width;
  uint32_t* right = p.words + p.half_words;
  uint32_t* below = right + p.half_words;
  for (int64_t i = 0; i + 1 < count; ++i) {
    right[i] = p.words[i] ^ p.words[i + 1];
  }
  for (int64_t i = 0; i + l.width < count; ++i) {
    below[i] = p.words[i] ^ p.words[i + l.width];
  }
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

void halve_boxes(const Layout& l, const Planes& p, int64_t count) {
  const int32_t outputs = static_cast<int32_t>(l.registers * kLanes);
  for (int64_t i = 0; i < count; ++i) {
    p.odd[i] = (p.boxes[i] & 1) * outputs;
    p.boxes[i] = p.boxes[i] >> 1;
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
    return top;
  }
  const int64_t first = top < 0 ? 0 : top;
  for (int64_t y = first; y < bottom && y < w.height; ++y) {
    pair_row(args.in + y * w.width * l.pixel_words, w.width, l.pixel_words,
             p.words + (y - first) * l.width * l.pixel_step, p.word_ones, p.ones + (y - first) * l.width);
  }
  sum_boxes(s, l, p, first, begin, end);
  return first;
}

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_BCONV2D_X86_AVX512_PLANES_H_
