// What the AVX-512 kernel makes of weights before it counts. Part of x86_avx512vpopcntdq.cc alone, built with its
// flags.
//
// A pair word is 64 bits: in the file's order the half words a1 and a2 of 32 channels each, here a1 and p = a1 ^ a2.
// Weights: w1 and q = w1 ^ w2, for sixteen outputs a register. A map of at most 32 channels has one half word a pixel:
// then the windows of 3x3 pair their taps, (0,0)(0,1)  (1,0)(1,1)  (2,0)(2,1)  (0,2)(1,2)  (2,2)alone.
#ifndef REACTNET_KERNELS_BCONV2D_X86_AVX512_LAYOUT_H_
#define REACTNET_KERNELS_BCONV2D_X86_AVX512_LAYOUT_H_

#include <immintrin.h>
#include <string.h>

#include "bconv2d/bconv2d.h"

namespace reactnet {
namespace {

constexpr int64_t kLanes = 16;              // outputs of a register
constexpr int64_t kPlaneBytes = 64 * 1024;  // of pair words of a few rows, if one row of outputs needs no more
constexpr int64_t kNeighbourPlanes = 3;     // of half words: a1, which is p where there is no partner, p right, p below
constexpr int64_t kNeighbourPairs = 5;      // pairs of a window of 3x3
constexpr int64_t kTapOfPair[5][2][2] = {   // (kh, kw) of both; the last has no partner
    {{0, 0}, {0, 1}},
    {{1, 0}, {1, 1}},
    {{2, 0}, {2, 1}},
    {{0, 2}, {1, 2}},
    {{2, 2}, {2, 2}}};
constexpr int64_t kPlaneOfPair[5] = {1, 1, 1, 2, 0};  // where its p is

struct Layout {
  bool neighbours;    // taps are paired, and the planes have a border of zeros
  int64_t registers;  // of outputs in a block: 2 or 4
  int64_t blocks;
  int64_t columns;       // of a window: kernel_w, or one that holds the five pairs
  int64_t column_words;  // pair words of a column; a window's are kept column by column
  int64_t pixel_words;   // pair words of a pixel
  int64_t pixel_step;    // u32 from pixel to pixel in the planes
  int64_t width;         // of the planes
  int64_t block_words;   // u32 of the weights of a block
  int64_t lanes;         // outputs rounded up to blocks
};

// The first `left` of sixteen lanes.
__mmask16 lanes_left(int64_t left) {
  return static_cast<__mmask16>(left >= kLanes ? 0xFFFFu : left <= 0 ? 0u : (1u << left) - 1u);
}

// Whether outputs know no rows: then a map, or a few rows of it, is one long row.
bool is_flat(const Window& w) {
  return w.kernel_h == 1 && w.kernel_w == 1 && w.stride_h == 1 && w.stride_w == 1 && w.padding_h == 0 &&
         w.padding_w == 0;
}

// `rows` rows of a flat map.
BConv2dShape as_one_row(const BConv2dShape& s, int64_t rows) {
  const int64_t width = rows * s.window.width;
  return {{1, width, 1, width, 1, 1, 1, 1, 0, 0}, s.channels, s.outputs, s.groups, s.padding_value};
}

Layout layout_of(const BConv2dShape& s) {
  const Window& w = s.window;
  Layout l = {};
  l.neighbours = s.channels <= 32 && w.kernel_h == 3 && w.kernel_w == 3;
  const bool fours = is_flat(w) || (w.out_width >= 28 && w.out_width % 4 == 0);
  l.registers = s.outputs % 64 == 0 && fours ? 4 : 2;
  l.blocks = (s.outputs + l.registers * kLanes - 1) / (l.registers * kLanes);
  l.columns = l.neighbours ? 1 : w.kernel_w;
  l.pixel_words = (s.channels + 63) / 64;
  l.pixel_step = l.neighbours ? 1 : 2 * l.pixel_words;
  l.column_words = l.neighbours ? kNeighbourPairs : w.kernel_h * l.pixel_words;
  l.width = l.neighbours ? (w.out_width - 1) * w.stride_w + w.kernel_w : w.width;
  l.block_words = l.columns * l.column_words * l.registers * 2 * kLanes;
  l.lanes = l.blocks * l.registers * kLanes;
  return l;
}

// Behind the weights stand constants for each output, i32: K, then the table of sums T[0..kernel_h][0..kernel_w], where
// T[i][j] is the sum over the taps above and left of (i, j) of what a tap adds if it is inside. With B the bits counted
// and R the ones of the p of a window,
//   acc = channels * taps - 2 R - 4 B + K + (sum over the taps inside of T's terms)
// Taps: the ones inside, or all if the planes have a border.
int64_t table_rows(const BConv2dShape& s) { return 1 + (s.window.kernel_h + 1) * (s.window.kernel_w + 1); }

uint64_t packed_bytes(const BConv2dShape& s) {
  const Layout l = layout_of(s);
  return static_cast<uint64_t>(l.blocks * l.block_words + table_rows(s) * l.lanes) * 4;
}

const int32_t* constants_of(const void* packed, const Layout& l) {
  return static_cast<const int32_t*>(packed) + l.blocks * l.block_words;
}

int32_t ones(uint64_t v) { return static_cast<int32_t>(__builtin_popcountll(v)); }

// Pair word i of an output's weights, w1 below w2.
uint64_t weight_pair(const BConv2dShape& s, const Layout& l, const uint64_t* weight, int64_t i) {
  const int64_t kernel_w = s.window.kernel_w;
  if (!l.neighbours) {
    const int64_t kh = i % l.column_words / l.pixel_words;
    return weight[(kh * kernel_w + i / l.column_words) * l.pixel_words + i % l.pixel_words];
  }
  const auto& tap = kTapOfPair[i];
  const uint64_t first = weight[tap[0][0] * kernel_w + tap[0][1]];
  return i + 1 == kNeighbourPairs ? first : first | weight[tap[1][0] * kernel_w + tap[1][1]] << 32;
}

// K and the terms of T of one output.
void pack_constants(const BConv2dShape& s, const Layout& l, const uint64_t* weight, int32_t* lane) {
  const Window& w = s.window;
  const int64_t words = (s.channels + 63) / 64;
  const int32_t value = static_cast<int32_t>(s.padding_value);
  int32_t constant = 0;
  const auto table = [&](int64_t i, int64_t j) -> int32_t& { return lane[(1 + i * (w.kernel_w + 1) + j) * l.lanes]; };
  for (int64_t kh = 0; kh < w.kernel_h; ++kh) {
    for (int64_t kw = 0; kw < w.kernel_w; ++kw) {
      int32_t q = 0;
      int32_t all = 0;
      for (int64_t i = 0; i < words; ++i) {
        const uint64_t v = weight[(kh * w.kernel_w + kw) * words + i];
        q += ones((v ^ v >> 32) & 0xFFFFFFFFu);
        all += ones(v);
      }
      const int32_t sum = 2 * all - static_cast<int32_t>(s.channels);  // of the weights
      // A tap in a border of zeros has counted as -1 each.
      const int32_t outside = l.neighbours ? (value + 1) * sum : value * sum;
      const int32_t term = (l.neighbours ? 0 : 2 * q) - outside;
      constant += outside;
      table(kh + 1, kw + 1) = term + table(kh, kw + 1) + table(kh + 1, kw) - table(kh, kw);
    }
  }
  for (int64_t i = 0; l.neighbours && i < kNeighbourPairs; ++i) {
    const uint64_t v = weight_pair(s, l, weight, i);
    constant += 2 * ones((v ^ v >> 32) & 0xFFFFFFFFu);
  }
  lane[0] = constant;
}

void pack(const BConv2dShape& s, const uint64_t* weight, void* packed) {
  const Layout l = layout_of(s);
  const int64_t output_words = s.window.kernel_h * s.window.kernel_w * ((s.channels + 63) / 64);
  const int64_t block = l.registers * kLanes;
  memset(packed, 0, packed_bytes(s));
  uint32_t* out = static_cast<uint32_t*>(packed);
  int32_t* constants = static_cast<int32_t*>(packed) + l.blocks * l.block_words;
  for (int64_t o = 0; o < s.outputs; ++o) {
    uint32_t* lane = out + o / block * l.block_words + o % block / kLanes * 2 * kLanes + o % kLanes;
    for (int64_t i = 0; i < l.columns * l.column_words; ++i, lane += block * 2) {
      const uint64_t v = weight_pair(s, l, weight, i);
      lane[0] = static_cast<uint32_t>(v);
      lane[kLanes] = static_cast<uint32_t>(v ^ v >> 32);
    }
    pack_constants(s, l, weight, constants + o);
    weight += output_words;
  }
}

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_BCONV2D_X86_AVX512_LAYOUT_H_
