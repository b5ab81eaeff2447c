// AVX2 has no vector popcount; a shuffle is a table of sixteen entries. A byte holds four bits of one output's weights:
// 32 outputs are a register of indices, and the table belongs to four channels of TWO pixels a and b:
//   entry i = popcount(a ^ i) + 16 * popcount(b ^ i)
// so a look-up counts 4 bits x 2 pixels x 32 outputs. Three of them (<= 12 a nibble) add up to v, and two byte sums
// follow it:
//   all = sum v                 = [A0 + 16 B0, A1 + 16 B1]   (a pair of neighbouring bytes, modulo 256 each)
//   mix = sum (v as u16) >> 4   = [B0 + 16 A1, B1]
// From the bytes B1, then A1, B0 and A0 come back exactly as long as none exceeds 255: after 63 look-ups, 252 bits.
//
// Packed weights: blocks of 32 outputs x kh x row x 32 bytes, where a row is the nibbles of kw x channels, in units of
// 32 channels (nibbles 0 2 4 6 1 3 5 7), filled up with zeros to a multiple of three. Then the ones of each tap: kh x
// kw x outputs.
#include <immintrin.h>
#include <string.h>

#include "bconv2d/bconv2d.h"
#include "bconv2d/x86_avx2_epilogue.h"

namespace reactnet {
namespace {

constexpr int64_t kBlock = 32;         // outputs of one register
constexpr int64_t kMaxNibbles = 8192;  // of a window: u16 holds its counts
constexpr int64_t kIndices = 16384;    // u16 on the stack: at least two pairs of pixels
constexpr int64_t kFlush = 21;         // triples between two flushes

struct Tables {
  uint8_t entry[256][16];
};

constexpr uint8_t count4(int v) { return static_cast<uint8_t>((v & 1) + (v >> 1 & 1) + (v >> 2 & 1) + (v >> 3 & 1)); }

constexpr Tables make_tables() {
  Tables t = {};
  for (int ab = 0; ab < 256; ++ab) {
    for (int i = 0; i < 16; ++i) {
      t.entry[ab][i] = static_cast<uint8_t>(count4((ab & 15) ^ i) + 16 * count4((ab >> 4) ^ i));
    }
  }
  return t;
}

alignas(64) constexpr Tables kTables = make_tables();

struct Layout {
  int64_t units;         // of 32 channels, in a tap
  int64_t row_nibbles;   // of one kh
  int64_t window_bytes;  // of a block of 32 outputs
  int64_t blocks;        // of 32 outputs
};

Layout layout_of(const BConv2dShape& s) {
  const int64_t units = (s.channels + 31) / 32;
  const int64_t row = (s.window.kernel_w * units * 8 + 2) / 3 * 3;
  return {units, row, s.window.kernel_h * row * kBlock, (s.outputs + kBlock - 1) / kBlock};
}

bool supports(const BConv2dShape& s) {
  return s.groups == 1 && s.window.kernel_h <= kMaxNibbles &&
         layout_of(s).row_nibbles <= kMaxNibbles / s.window.kernel_h;
}

uint64_t packed_bytes(const BConv2dShape& s) {
  const Layout l = layout_of(s);
  const int64_t ones = s.window.kernel_h * s.window.kernel_w * l.blocks * kBlock;
  return static_cast<uint64_t>(l.blocks * l.window_bytes + ones * 2);
}

const uint16_t* ones_of(const void* packed, const Layout& l) {
  return reinterpret_cast<const uint16_t*>(static_cast<const uint8_t*>(packed) + l.blocks * l.window_bytes);
}

// The place of nibble n of a tap in its row: the order in which write_indices takes the channels.
int64_t nibble_place(int64_t n) { return n / 8 * 8 + (n % 2) * 4 + n % 8 / 2; }

void pack_tap(const BConv2dShape& s, const uint64_t* tap, uint8_t* row, uint16_t* ones) {
  const int64_t nibbles = (s.channels + 3) / 4;
  int count = 0;
  for (int64_t n = 0; n < nibbles; ++n) {
    const uint8_t v = static_cast<uint8_t>(tap[n / 16] >> (n % 16 * 4) & 15);
    row[nibble_place(n) * kBlock] = v;
    count += count4(v);
  }
  *ones = static_cast<uint16_t>(count);
}

void pack(const BConv2dShape& s, const uint64_t* weight, void* packed) {
  const Layout l = layout_of(s);
  const Window& w = s.window;
  const int64_t words = (s.channels + 63) / 64;
  uint8_t* out = static_cast<uint8_t*>(packed);
  memset(out, 0, packed_bytes(s));
  uint16_t* ones = reinterpret_cast<uint16_t*>(out + l.blocks * l.window_bytes);
  for (int64_t o = 0; o < s.outputs; ++o) {
    for (int64_t tap = 0; tap < w.kernel_h * w.kernel_w; ++tap) {
      const int64_t nibble = tap / w.kernel_w * l.row_nibbles + tap % w.kernel_w * l.units * 8;
      uint8_t* row = out + o / kBlock * l.window_bytes + nibble * kBlock + o % kBlock;
      pack_tap(s, weight + (o * w.kernel_h * w.kernel_w + tap) * words, row, ones + tap * l.blocks * kBlock + o);
    }
  }
}

// What a pixel's window holds: units of 32 channels, tap by tap; outside taps hold the padding's bits.
void write_units(const BConv2dArgs& args, const Layout& l, int64_t pixel, int64_t kh, uint32_t* out) {
  const BConv2dShape& s = args.shape;
  const Window& w = s.window;
  const int64_t words = (s.channels + 63) / 64;
  const int64_t oh = static_cast<uint32_t>(pixel) / static_cast<uint32_t>(w.out_width);  // 32 bits divide fast
  const int64_t ih = oh * w.stride_h - w.padding_h + kh;
  const int64_t left = (pixel - oh * w.out_width) * w.stride_w - w.padding_w;
  for (int64_t kw = 0; kw < w.kernel_w; ++kw, out += l.units) {
    const int64_t iw = left + kw;
    if (ih >= 0 && ih < w.height && iw >= 0 && iw < w.width) {
      memcpy(out, args.in + (ih * w.width + iw) * words, static_cast<size_t>(l.units) * 4);
      continue;
    }
    memset(out, s.padding_value == 1 ? 0xFF : 0, static_cast<size_t>(l.units) * 4);
    if (s.padding_value == 1 && s.channels % 32 != 0) {
      out[l.units - 1] = (1u << (s.channels % 32)) - 1u;
    }
  }
}

// The row of tables that belong to two pixels: byte offsets into kTables.
void write_indices(const uint32_t* a, const uint32_t* b, int64_t units, int64_t row_nibbles, uint16_t* out) {
  for (int64_t i = 0; i < units; ++i) {
    const uint32_t even = (a[i] & 0x0F0F0F0Fu) | (b[i] & 0x0F0F0F0Fu) << 4;
    const uint32_t odd = (a[i] >> 4 & 0x0F0F0F0Fu) | (b[i] & 0xF0F0F0F0u);
    const __m128i bytes = _mm_cvtsi64_si128(static_cast<int64_t>(even | static_cast<uint64_t>(odd) << 32));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i * 8), _mm_slli_epi16(_mm_cvtepu8_epi16(bytes), 4));
  }
  for (int64_t i = units * 8; i < row_nibbles; ++i) {
    out[i] = 0;
  }
}

__m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

struct Counts {
  __m256i a0, a1, b0, b1;  // of even and odd outputs of both pixels, u16
};

void flush(Counts& s, __m256i all, __m256i mix) {
  const __m256i low = _mm256_set1_epi16(255);
  const __m256i b1 = _mm256_srli_epi16(mix, 8);
  const __m256i a1 = _mm256_and_si256(_mm256_sub_epi16(_mm256_srli_epi16(all, 8), _mm256_slli_epi16(b1, 4)), low);
  const __m256i b0 = _mm256_and_si256(_mm256_sub_epi16(mix, _mm256_slli_epi16(a1, 4)), low);
  const __m256i a0 = _mm256_and_si256(_mm256_sub_epi16(all, _mm256_slli_epi16(b0, 4)), low);
  s = {_mm256_add_epi16(s.a0, a0), _mm256_add_epi16(s.a1, a1), _mm256_add_epi16(s.b0, b0), _mm256_add_epi16(s.b1, b1)};
}

void store_counts(uint16_t* out, __m256i even, __m256i odd) {
  const __m256i low = _mm256_unpacklo_epi16(even, odd);   // outputs 0-7, 16-23
  const __m256i high = _mm256_unpackhi_epi16(even, odd);  // outputs 8-15, 24-31
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_permute2x128_si256(low, high, 0x20));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 16), _mm256_permute2x128_si256(low, high, 0x31));
}

// Differing bits of kPairs pairs of pixels with kBlocks blocks of outputs.
template <int kPairs, int kBlocks>
void count_tile(const uint16_t* indices, int64_t pair_stride, const uint8_t* weight, int64_t block_stride,
                int64_t triples, uint16_t* counts) {
  const uint8_t* tables = &kTables.entry[0][0];
  Counts sums[kPairs][kBlocks] = {};
  for (int64_t t = 0; t < triples;) {
    const int64_t end = triples < t + kFlush ? triples : t + kFlush;
    __m256i all[kPairs][kBlocks] = {};
    __m256i mix[kPairs][kBlocks] = {};
    for (; t < end; ++t) {
      __m256i v[kPairs][kBlocks] = {};
      for (int j = 0; j < 3; ++j) {
        __m256i w[kBlocks];
        for (int n = 0; n < kBlocks; ++n) {
          w[n] = load(weight + n * block_stride + (t * 3 + j) * kBlock);
        }
        for (int m = 0; m < kPairs; ++m) {
          const uint8_t* entry = tables + indices[m * pair_stride + t * 3 + j];
          const __m256i table = _mm256_broadcastsi128_si256(*reinterpret_cast<const __m128i*>(entry));
          for (int n = 0; n < kBlocks; ++n) {
            v[m][n] = _mm256_add_epi8(v[m][n], _mm256_shuffle_epi8(table, w[n]));
          }
        }
      }
      for (int m = 0; m < kPairs; ++m) {
        for (int n = 0; n < kBlocks; ++n) {
          all[m][n] = _mm256_add_epi8(all[m][n], v[m][n]);
          mix[m][n] = _mm256_add_epi8(mix[m][n], _mm256_srli_epi16(v[m][n], 4));
        }
      }
    }
    for (int m = 0; m < kPairs; ++m) {
      for (int n = 0; n < kBlocks; ++n) {
        flush(sums[m][n], all[m][n], mix[m][n]);
      }
    }
  }
  for (int m = 0; m < kPairs; ++m) {
    for (int n = 0; n < kBlocks; ++n) {
      store_counts(counts + (m * 2) * kTileOutputs + n * kBlock, sums[m][n].a0, sums[m][n].a1);
      store_counts(counts + (m * 2 + 1) * kTileOutputs + n * kBlock, sums[m][n].b0, sums[m][n].b1);
    }
  }
}

// Pixels begin to end - 1, flat, of output rows that share the rows [kh.begin, kh.end) of the window.
struct Span {
  int64_t begin, end;
  Taps kh;
};

// Takes away the ones of the taps left and right of the map, which write_units filled with zeros.
void forget_outside(const BConv2dArgs& args, const Layout& l, Taps kh, Taps columns, int64_t first, uint16_t* counts) {
  const int64_t kernel_w = args.shape.window.kernel_w;
  const int64_t lanes = l.blocks * kBlock - first < kTileOutputs ? l.blocks * kBlock - first : kTileOutputs;
  for (int64_t row = kh.begin; row < kh.end; ++row) {
    for (int64_t kw = 0; kw < kernel_w; ++kw) {
      if (kw >= columns.begin && kw < columns.end) {
        continue;
      }
      const uint16_t* ones = ones_of(args.packed, l) + (row * kernel_w + kw) * l.blocks * kBlock + first;
      for (int64_t i = 0; i < lanes; ++i) {
        counts[i] = static_cast<uint16_t>(counts[i] - ones[i]);
      }
    }
  }
}

// The pixels of a tile, from the first one's counts on.
void finish_pixels(const BConv2dArgs& args, const Layout& l, Taps kh, int64_t pixel, int64_t count, int64_t first,
                   uint16_t* counts) {
  const BConv2dShape& s = args.shape;
  Sums sums = {pixel, counts, {}};
  const bool border = s.padding_value == 0 && s.window.padding_w > 0;
  int64_t column = border ? static_cast<uint32_t>(pixel) % static_cast<uint32_t>(s.window.out_width) : 0;
  for (int64_t m = 0; m < count; ++m, ++column) {
    column = column == s.window.out_width ? 0 : column;
    const Taps columns = border ? inside_columns(s.window, column) : Taps{0, s.window.kernel_w};
    sums.base[m] = static_cast<int32_t>((kh.end - kh.begin) * (columns.end - columns.begin) * s.channels);
    if (columns.end - columns.begin < s.window.kernel_w) {
      forget_outside(args, l, kh, columns, first, counts + m * kTileOutputs);
    }
  }
  const auto finish_them = count == 4 ? finish<4> : count == 3 ? finish<3> : count == 2 ? finish<2> : finish<1>;
  finish_them(args, sums, first);
}

// Pairs of pixels of the span against the 64 outputs from `first` on.
void run_outputs(const BConv2dArgs& args, const Layout& l, const Span& span, const uint16_t* indices, int64_t first) {
  const int64_t nibbles = (span.kh.end - span.kh.begin) * l.row_nibbles;
  const int64_t block = first / kBlock;
  const uint8_t* weight =
      static_cast<const uint8_t*>(args.packed) + block * l.window_bytes + span.kh.begin * l.row_nibbles * kBlock;
  const bool two_blocks = block + 1 < l.blocks;
  uint16_t counts[4 * kTileOutputs];
  for (int64_t pixel = span.begin; pixel < span.end; pixel += 4, indices += 2 * nibbles) {
    const int64_t left = span.end - pixel;
    const auto tile = left > 2 ? (two_blocks ? count_tile<2, 2> : count_tile<2, 1>)
                               : (two_blocks ? count_tile<1, 2> : count_tile<1, 1>);
    tile(indices, nibbles, weight, l.window_bytes, nibbles / 3, counts);
    finish_pixels(args, l, span.kh, pixel, left < 4 ? left : 4, first, counts);
  }
}

// As many pixels as the indices have room for.
void run_chunk(const BConv2dArgs& args, const Layout& l, const Span& span) {
  alignas(32) uint16_t indices[kIndices];
  uint32_t units[2][kMaxNibbles / 8];
  const int64_t row_units = args.shape.window.kernel_w * l.units;
  uint16_t* out = indices;
  for (int64_t pixel = span.begin; pixel < span.end; pixel += 2) {
    for (int64_t kh = span.kh.begin; kh < span.kh.end; ++kh, out += l.row_nibbles) {
      write_units(args, l, pixel, kh, units[0]);
      write_units(args, l, pixel + 1 < span.end ? pixel + 1 : pixel, kh, units[1]);
      write_indices(units[0], units[1], row_units, l.row_nibbles, out);
    }
  }
  for (int64_t first = 0; first < args.shape.outputs; first += kTileOutputs) {
    run_outputs(args, l, span, indices, first);
  }
}

void run(const BConv2dArgs& args, int64_t begin, int64_t end) {
  const Layout l = layout_of(args.shape);
  const Window& w = args.shape.window;
  const Taps all = {0, w.kernel_h};
  for (int64_t oh = begin; oh < end;) {
    const Taps kh = args.shape.padding_value == 0 ? inside_rows(w, oh) : all;
    int64_t next = oh + 1;
    while (next < end && (args.shape.padding_value != 0 ||
                          (inside_rows(w, next).begin == kh.begin && inside_rows(w, next).end == kh.end))) {
      ++next;
    }
    const int64_t nibbles = (kh.end - kh.begin) * l.row_nibbles;
    const int64_t room = nibbles == 0 ? kIndices : kIndices / nibbles * 2;
    for (int64_t pixel = oh * w.out_width; pixel < next * w.out_width; pixel += room) {
      const int64_t last = next * w.out_width;
      run_chunk(args, l, {pixel, pixel + room < last ? pixel + room : last, kh});
    }
    oh = next;
  }
}

uint64_t scratch_bytes(const BConv2dShape&) { return 0; }

}  // namespace

constexpr BConv2dKernel bconv2d_x86_avx2 = {
    "bconv2d_x86_avx2", Isa::kAvx2, supports, packed_bytes, pack, scratch_bytes, run};

}  // namespace reactnet
