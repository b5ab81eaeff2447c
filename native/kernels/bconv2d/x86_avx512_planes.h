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
  int64_t in_rows;   // that they read at most
  uint64_t* words;   // in_rows x l.width x l.pixel_words
  Place* places;     // of a window
  int32_t* boxes;    // out_rows x out_width: ones of the p of a window
  int32_t* ones;     // of a pixel: in_rows x l.width; of the neighbours' planes, three numbers a pixel
  int32_t* columns;  // sums over a window's rows, with a border of zeros
  uint64_t bytes;
};

Planes planes_of(const BConv2dShape& s, const Layout& l, void* scratch) {
  const Window& w = s.window;
  const int64_t row_bytes = l.width * l.pixel_words * 8;
  const int64_t rows = kPlaneBytes / row_bytes - w.kernel_h;
  int64_t out_rows = rows < 0 ? 1 : rows / w.stride_h + 1;
  out_rows = out_rows < w.out_height ? out_rows : w.out_height;
  Planes p = {};
  p.out_rows = out_rows;
  p.in_rows = (out_rows - 1) * w.stride_h + w.kernel_h;
  p.in_rows = l.neighbours || p.in_rows < w.height ? p.in_rows : w.height;
  p.words = static_cast<uint64_t*>(scratch);
  const int64_t words = p.in_rows * l.width * l.pixel_words;
  const int64_t boxes = out_rows * w.out_width;
  const int64_t counts = p.in_rows * l.width * (l.neighbours ? kNeighbourPlanes : 1);
  const int64_t columns = (w.out_width - 1) * w.stride_w + w.kernel_w;
  const int64_t places = l.rows * l.row_words;
  p.bytes =
      static_cast<uint64_t>(words * 8 + (boxes + counts + columns) * 4) + sizeof(Place) * static_cast<uint64_t>(places);
  if (scratch != nullptr) {
    p.places = reinterpret_cast<Place*>(p.words + words);
    p.boxes = reinterpret_cast<int32_t*>(p.places + places);
    p.ones = p.boxes + boxes;
    p.columns = p.ones + counts;
  }
  return p;
}

void list_places(const Layout& l, const Planes& p) {
  for (int64_t r = 0; r < l.rows; ++r) {
    for (int64_t i = 0; i < l.row_words; ++i) {
      const int64_t a =
          2 * (l.neighbours ? (kTapOfPair[r][0][0] * l.width + kTapOfPair[r][0][1]) * kNeighbourPlanes + kPlaneOfPair[r]
                            : r * l.width * l.pixel_words + i);
      p.places[r * l.row_words + i] = {a, a + 1};
    }
  }
}

// Eight words of a1 and a2 become words of a1 and p; lanes that are not wanted are zeros.
__m512i pair(__m512i v) { return _mm512_xor_si512(v, _mm512_slli_epi64(v, 32)); }

// The pair words of a row of the map, and the ones of p of each pixel.
void pair_row(const uint64_t* in, int64_t width, int64_t words, uint64_t* out, int32_t* ones_out) {
  const int64_t count = width * words;
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm512_storeu_si512(out + i, pair(_mm512_loadu_si512(in + i)));
  }
  for (; i < count; ++i) {
    out[i] = in[i] ^ in[i] << 32;
  }
  for (int64_t x = 0; x < width; ++x) {
    int64_t sum = 0;
    for (int64_t k = 0; k < words; ++k) {
      sum += __builtin_popcountll(out[x * words + k] >> 32);
    }
    ones_out[x] = static_cast<int32_t>(sum);
  }
}

// Boxes of output rows begin to end - 1; the planes begin with row `first` of the map.
void sum_boxes(const BConv2dShape& s, const Layout& l, const Planes& p, int64_t first, int64_t begin, int64_t end) {
  const Window& w = s.window;
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
      const int32_t* row = p.ones + (oh * w.stride_h - w.padding_h + k - first) * l.width;
      for (int64_t x = 0; x < inside; ++x) {
        column[x] += row[x];
      }
    }
    int32_t* box = p.boxes + (oh - begin) * w.out_width;
    for (int64_t x = 0; x < w.out_width; ++x) {
      int32_t sum = 0;
      for (int64_t k = 0; k < w.kernel_w; ++k) {
        sum += p.columns[x * w.stride_w + k];
      }
      box[x] = sum;
    }
  }
}

// The three planes of a padded row: partner right, partner below, no partner. `row` and `below` are half words.
void pair_neighbours(const uint64_t* row, const uint64_t* below, const Window& w, int64_t width, uint64_t* out,
                     int32_t* ones_out) {
  const auto at = [&w](const uint64_t* from, int64_t x) {
    x -= w.padding_w;
    return from != nullptr && x >= 0 && x < w.width ? from[x] : 0;
  };
  for (int64_t x = 0; x < width; ++x, out += kNeighbourPlanes, ones_out += kNeighbourPlanes) {
    const uint64_t here = at(row, x);
    const uint64_t partners[kNeighbourPlanes] = {x + 1 < width ? at(row, x + 1) : 0, at(below, x), 0};
    for (int64_t k = 0; k < kNeighbourPlanes; ++k) {
      const uint64_t p = here ^ partners[k];
      out[k] = here | p << 32;
      ones_out[k] = static_cast<int32_t>(__builtin_popcountll(p));
    }
  }
}

void sum_neighbours(const BConv2dShape& s, const Layout& l, const Planes& p, int64_t rows) {
  const Window& w = s.window;
  const int64_t row = l.width * kNeighbourPlanes;
  for (int64_t oh = 0; oh < rows; ++oh) {
    for (int64_t ow = 0; ow < w.out_width; ++ow) {
      const int32_t* at = p.ones + oh * w.stride_h * row + ow * w.stride_w * kNeighbourPlanes;
      p.boxes[oh * w.out_width + ow] =
          at[0] + at[row] + at[2 * row] + at[2 * kNeighbourPlanes + 1] + at[2 * row + 2 * kNeighbourPlanes + 2];
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
    const auto row = [&](int64_t y) { return y >= 0 && y < w.height ? args.in + y * w.width : nullptr; };
    for (int64_t y = top; y < bottom; ++y) {
      const int64_t place = (y - top) * l.width * kNeighbourPlanes;
      pair_neighbours(row(y), row(y + 1), w, l.width, p.words + place, p.ones + place);
    }
    sum_neighbours(s, l, p, end - begin);
    return top;
  }
  const int64_t first = top < 0 ? 0 : top;
  for (int64_t y = first; y < bottom && y < w.height; ++y) {
    pair_row(args.in + y * w.width * l.pixel_words, w.width, l.pixel_words,
             p.words + (y - first) * l.width * l.pixel_words, p.ones + (y - first) * l.width);
  }
  sum_boxes(s, l, p, first, begin, end);
  return first;
}

uint64_t scratch_bytes(const BConv2dShape& s) { return planes_of(s, layout_of(s), nullptr).bytes; }

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_BCONV2D_X86_AVX512_PLANES_H_
