// Tables, packed weights and rows of indices of the AVX2 kernel. Part of x86_avx2.cc alone, built with its flags.
#ifndef REACTNET_KERNELS_BCONV2D_X86_AVX2_LAYOUT_H_
#define REACTNET_KERNELS_BCONV2D_X86_AVX2_LAYOUT_H_

#include <immintrin.h>
#include <string.h>

#include "bconv2d/bconv2d.h"

namespace reactnet {
namespace {

constexpr int64_t kBlock = 32;          // outputs of one register
constexpr int64_t kGroup = 4;           // blocks that are counted together, or what is left of them: 2 or 1
constexpr int64_t kMaxNibbles = 8191;   // of a window: 16 bits hold its sum
constexpr int64_t kStrip = 24;          // pairs of pixels whose sums lie in memory
constexpr int64_t kIndexBytes = 65536;  // of a few rows of indices, if one row of outputs needs no more

struct Tables {
  uint8_t entry[256][16];
};

constexpr uint8_t count4(int v) { return static_cast<uint8_t>((v & 1) + (v >> 1 & 1) + (v >> 2 & 1) + (v >> 3 & 1)); }

constexpr uint8_t entry4(int a, int i) {
  return static_cast<uint8_t>((count4(a ^ i) - count4(a) % 2 + count4(i) % 2) / 2);
}

constexpr Tables make_tables() {
  Tables t = {};
  for (int ab = 0; ab < 256; ++ab) {
    for (int i = 0; i < 16; ++i) {
      t.entry[ab][i] = static_cast<uint8_t>(entry4(ab & 15, i) + 16 * entry4(ab >> 4, i));
    }
  }
  return t;
}

alignas(64) constexpr Tables kTables = make_tables();

// Sums of halves of 32 outputs of both pixels of a pair, u16, as they come of the counting loop: lane_of.
struct Counts {
  __m256i a[2], b[2];
};

// Pairs of pixels, one after the other, that share the rows of the window inside the map.
struct Strip {
  const uint16_t* indices[kStrip];       // of the first row of the window
  const uint32_t* odds[kStrip];          // of both pixels: what the odd nibbles of their windows take
  const uint16_t* constants[kStrip][2];  // of both pixels, for the first of the group's blocks
  int64_t row[kStrip], column[kStrip];
  int64_t count;
  Taps kh;
};

struct Layout {
  int64_t units;        // of 32 channels, in a pixel
  int64_t nibbles;      // of a pixel
  int64_t row_nibbles;  // of a row of the window
  int64_t block_bytes;  // of the weights of 32 outputs
  int64_t blocks;
  int64_t pairs;        // of a row of outputs; the last pixel of the last may not exist
  bool shared;          // a column of indices serves all the taps that read it, or else each pair has its own
  int64_t pair_step;    // columns from pair to pair
  int64_t columns;      // of indices, of a row of the map
  int64_t out_rows;     // that are made indices for at once
  int64_t in_rows;      // which these read
  int64_t units_width;  // pixels of a row of units, borders counted
};

Layout layout_of(const BConv2dShape& s) {
  const Window& w = s.window;
  Layout l = {};
  l.units = (s.channels + 31) / 32;
  l.nibbles = l.units * 8;
  l.row_nibbles = w.kernel_w * l.nibbles;
  l.block_bytes = w.kernel_h * l.row_nibbles * kBlock;
  l.blocks = (s.outputs + kBlock - 1) / kBlock;
  l.pairs = (w.out_width + 1) / 2;
  l.shared = w.kernel_w > 2 * w.stride_w;
  l.pair_step = l.shared ? 2 * w.stride_w : w.kernel_w;
  l.columns = (l.pairs - 1) * l.pair_step + w.kernel_w;
  const int64_t rows = kIndexBytes / (l.columns * l.nibbles * 2) - w.kernel_h;
  l.out_rows = rows < 0 ? 1 : rows / w.stride_h + 1;
  l.out_rows = l.out_rows < w.out_height ? l.out_rows : w.out_height;
  l.in_rows = (l.out_rows - 1) * w.stride_h + w.kernel_h;
  l.units_width = (2 * l.pairs - 1) * w.stride_w + w.kernel_w;
  return l;
}

bool supports(const BConv2dShape& s) {
  return s.groups == 1 && s.window.kernel_h <= kMaxNibbles &&
         layout_of(s).row_nibbles <= kMaxNibbles / s.window.kernel_h;
}

// Behind the weights, u16 in the order of lane_of: the ones of each tap, kh x kw x outputs; the odd nibbles of each
// row, kh x outputs.
uint64_t packed_bytes(const BConv2dShape& s) {
  const Layout l = layout_of(s);
  const int64_t numbers = s.window.kernel_h * (s.window.kernel_w + 1) * l.blocks * kBlock;
  return static_cast<uint64_t>(l.blocks * l.block_bytes + numbers * 2);
}

const uint16_t* ones_of(const void* packed, const Layout& l) {
  return reinterpret_cast<const uint16_t*>(static_cast<const uint8_t*>(packed) + l.blocks * l.block_bytes);
}

const uint16_t* odds_of(const void* packed, const Layout& l, const Window& w) {
  return ones_of(packed, l) + w.kernel_h * w.kernel_w * l.blocks * kBlock;
}

// Where output o of a block stands among its 32 counts: outputs 0-7 and 8-15 in turns, then 16-23 and 24-31. An even
// byte of the weights belongs to the first sixteen of these, the odd byte behind it to the others.
int64_t lane_of(int64_t o) { return o / 16 * 16 + o % 8 * 2 + o / 8 % 2; }
int64_t byte_of(int64_t o) { return lane_of(o) % 16 * 2 + lane_of(o) / 16; }

// How many of a few nibbles have an odd number of ones.
int32_t odd_nibbles(uint64_t v) {
  v ^= v >> 2;
  v ^= v >> 1;
  return static_cast<int32_t>(_mm_popcnt_u64(v & 0x1111111111111111u));
}

// Blocks from `block` on that are counted together.
int64_t group_size(const Layout& l, int64_t block) {
  const int64_t left = l.blocks - block / kGroup * kGroup;
  return left >= 4 ? 4 : block % kGroup == 2 ? left - 2 : left >= 2 ? 2 : 1;
}

// Nibbles of 8 channels stand in the order in which write_indices takes them: the four low ones of a unit's bytes, then
// the four high ones. `units`: the same unit of 32 outputs; `nibble`: of the register that holds their first nibbles,
// `step` bytes from one to the next.
void pack_unit(const uint32_t* units, uint8_t* nibble, int64_t step) {
  const __m256i bytes_together =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  const __m256i in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  __m256i x[4];  // of 8 outputs each: their first bytes, their second bytes, and so on
  for (int64_t i = 0; i < 4; ++i) {
    const __m256i eight = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(units + i * 8));
    x[i] = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(eight, bytes_together), in_order);
  }
  const __m256i a = _mm256_unpacklo_epi64(x[0], x[1]);
  const __m256i b = _mm256_unpackhi_epi64(x[0], x[1]);
  const __m256i c = _mm256_unpacklo_epi64(x[2], x[3]);
  const __m256i d = _mm256_unpackhi_epi64(x[2], x[3]);
  const __m256i bytes[4] = {_mm256_permute2x128_si256(a, c, 0x20), _mm256_permute2x128_si256(b, d, 0x20),
                            _mm256_permute2x128_si256(a, c, 0x31), _mm256_permute2x128_si256(b, d, 0x31)};
  const __m256i low = _mm256_set1_epi8(15);
  for (int64_t i = 0; i < 4; ++i) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(nibble + i * step), _mm256_and_si256(bytes[i], low));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(nibble + (4 + i) * step),
                        _mm256_and_si256(_mm256_srli_epi16(bytes[i], 4), low));
  }
}

// 32 outputs, or the `count` that there are; the rest is zero. `weight`: the first one's tap, `out_words` from one
// output to the next. Odd nibbles are added to those of the tap's row.
void pack_tap(const Layout& l, const uint64_t* weight, int64_t out_words, int64_t count, uint8_t* nibble, int64_t step,
              uint16_t* ones, uint16_t* odds) {
  for (int64_t unit = 0; unit < l.units; ++unit) {
    uint32_t units[kBlock] = {};
    for (int64_t o = 0; o < count; ++o) {
      const uint32_t bits = static_cast<uint32_t>(weight[o * out_words + unit / 2] >> (unit % 2 * 32));
      uint16_t& one = ones[lane_of(o)];
      uint16_t& odd = odds[lane_of(o)];
      units[byte_of(o)] = bits;
      one = static_cast<uint16_t>(one + _mm_popcnt_u32(bits));
      odd = static_cast<uint16_t>(odd + odd_nibbles(bits));
    }
    pack_unit(units, nibble + unit * 8 * step, step);
  }
}

void pack(const BConv2dShape& s, const uint64_t* weight, void* packed) {
  const Layout l = layout_of(s);
  const int64_t taps = s.window.kernel_h * s.window.kernel_w;
  const int64_t words = (s.channels + 63) / 64;
  uint8_t* out = static_cast<uint8_t*>(packed);
  uint16_t* ones = reinterpret_cast<uint16_t*>(out + l.blocks * l.block_bytes);
  uint16_t* odds = ones + taps * l.blocks * kBlock;
  memset(ones, 0, static_cast<size_t>((taps + s.window.kernel_h) * l.blocks * kBlock * 2));
  for (int64_t first = 0; first < l.blocks; first += group_size(l, first)) {
    const int64_t step = group_size(l, first) * kBlock;
    for (int64_t block = first; block < first + group_size(l, first); ++block) {
      const int64_t left = s.outputs - block * kBlock;
      const int64_t count = left < kBlock ? left : kBlock;
      const uint64_t* from = weight + block * kBlock * taps * words;
      uint8_t* nibble = out + first * l.block_bytes + (block - first) * kBlock;
      for (int64_t tap = 0; tap < taps; ++tap, from += words, nibble += l.nibbles * step) {
        pack_tap(l, from, taps * words, count, nibble, step, ones + (tap * l.blocks + block) * kBlock,
                 odds + (tap / s.window.kernel_w * l.blocks + block) * kBlock);
      }
    }
  }
}

// Scratch: indices of in_rows rows; odd nibbles, as u32, of the windows' rows in each of these, of whole windows and of
// the units of one row, or of its pixels; the units of one row; the sums of a strip. Here as bytes from its beginning
// on.
struct Parts {
  int64_t row_odds, window_odds, pixel_odds, units, sums, end;
};

Parts parts_of(const Layout& l) {
  Parts p;
  p.row_odds = l.in_rows * l.columns * l.nibbles * 2;
  p.window_odds = p.row_odds + l.in_rows * l.pairs * 2 * 4;
  p.pixel_odds = p.window_odds + l.out_rows * l.pairs * 2 * 4;
  p.units = p.pixel_odds + l.units_width * l.units * 4;
  p.sums = (p.units + l.units_width * l.units * 4 + kBlock - 1) / kBlock * kBlock;
  p.end = p.sums + kStrip * kGroup * 4 * kBlock;
  return p;
}

uint64_t scratch_bytes(const BConv2dShape& s) { return static_cast<uint64_t>(parts_of(layout_of(s)).end); }

struct Scratch {
  uint16_t* indices;
  uint32_t *row_odds, *window_odds, *pixel_odds, *units;
  void* sums;
};

Scratch scratch_at(void* at, const Layout& l) {
  uint8_t* bytes = static_cast<uint8_t*>(at);
  const Parts p = parts_of(l);
  const auto numbers = [bytes](int64_t part) { return reinterpret_cast<uint32_t*>(bytes + part); };
  return {static_cast<uint16_t*>(at), numbers(p.row_odds), numbers(p.window_odds),
          numbers(p.pixel_odds),      numbers(p.units),    bytes + p.sums};
}

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_BCONV2D_X86_AVX2_LAYOUT_H_
