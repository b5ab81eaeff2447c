// vpdpbusd multiplies four unsigned bytes by four signed ones and adds all to an int32, without saturation: pixels by
// weights of 8 bits, as they are. A tile is up to fourteen pixels of a row against 32 outputs: 28 sums in registers.
//
// Fours of pixels are read where they lie, in copies of the rows of a window that have zeros outside the map. A row of
// a window (21 bytes of 7 taps of 3 channels) may end with crumbs, less than a four; those of all rows make fours of
// their own, at the places of their pixels in further rows, where their other bytes are the same for all rows.
//
// Packed: the offsets (corners.h); then weights as int8, blocks of 32 outputs x fours x 32 x 4: each row's fours, then
// the crumbs'. Everything past the last output or product is zero.
#include <immintrin.h>
#include <string.h>

#include "conv_u8/conv_u8.h"
#include "conv_u8/corners.h"
#include "patch.h"
#include "x86_avx512vnni_sums.h"

namespace reactnet {
namespace {

constexpr int64_t kBlock = kVnniBlock;
constexpr int kTile = kVnniTile;
constexpr int64_t kMaxFours = 512;
constexpr int64_t kScratch = 24 * 1024;  // bytes of rows: half of a first cache
constexpr int64_t kSlack = 128;          // behind a row: what vectors read or write too much

// Where the bytes of a window lie in its rows.
struct Layout {
  int64_t step;    // from pixel to pixel
  int64_t fours;   // of a row, where they lie
  int64_t crumbs;  // bytes of a row behind them
  int64_t rows;    // of the window
  int64_t crumb_rows;

  int64_t all_fours() const { return rows * fours + crumb_rows; }
};

Layout layout_of(const ConvU8Shape& s) {
  const Window& w = s.window;
  const int64_t bytes = w.kernel_w * s.channels;
  Layout l = {w.stride_w * s.channels, bytes / 4, bytes % 4, w.kernel_h, 0};
  l.crumb_rows = (l.rows * l.crumbs + 3) / 4;
  if (l.step < 4 || l.crumb_rows >= l.rows) {  // no room for them, or nothing gained: a four of each row
    l.fours += l.crumbs == 0 ? 0 : 1;
    l.crumbs = l.crumb_rows = 0;
  }
  return l;
}

int64_t padded_outputs(const ConvU8Shape& s) { return (s.outputs + kBlock - 1) / kBlock * kBlock; }

// Bytes of a row that `pixels` outputs read.
int64_t row_bytes(const ConvU8Shape& s, int64_t pixels) {
  return ((pixels - 1) * s.window.stride_w + s.window.kernel_w) * s.channels;
}

int64_t row_stride(const ConvU8Shape& s, int64_t pixels) { return (row_bytes(s, pixels) + kSlack + 63) / 64 * 64; }

// Outputs of a row that are taken at once: all, or whole tiles whose rows fit.
int64_t columns_of(const ConvU8Shape& s) {
  const Layout l = layout_of(s);
  const int64_t room = kScratch / (l.rows + l.crumb_rows) / 64 * 64 - kSlack;
  const int64_t most = (room / s.channels - s.window.kernel_w) / s.window.stride_w + 1;
  return s.window.out_width <= most ? s.window.out_width : most < kTile ? most : most / kTile * kTile;
}

bool supports(const ConvU8Shape& s) {
  const Layout l = layout_of(s);
  return s.weight_bits == 8 && l.all_fours() <= kMaxFours && l.step <= 64 &&
         row_stride(s, 1) * (l.rows + l.crumb_rows) <= kScratch;
}

uint64_t packed_bytes(const ConvU8Shape& s) {
  return static_cast<uint64_t>(4 *
                               (offset_numbers(s, padded_outputs(s)) + layout_of(s).all_fours() * padded_outputs(s)));
}

const int8_t* weights_of(const ConvU8Shape& s, const void* packed) {
  return reinterpret_cast<const int8_t*>(static_cast<const int32_t*>(packed) + offset_numbers(s, padded_outputs(s)));
}

void pack(const ConvU8Shape& s, const void* weight, const int32_t* offset, void* packed) {
  memset(packed, 0, packed_bytes(s));
  pack_offsets(s, offset, padded_outputs(s), packed);
  const Layout l = layout_of(s);
  const int64_t bytes = s.window.kernel_w * s.channels;
  int8_t* weights = const_cast<int8_t*>(weights_of(s, packed));
  for (int64_t o = 0; o < s.outputs; ++o) {
    const int8_t* from = static_cast<const int8_t*>(weight) + o * l.rows * bytes;
    int8_t* block = weights + (o / kBlock * l.all_fours() * kBlock + o % kBlock) * 4;
    for (int64_t i = 0; i < l.rows * bytes; ++i) {
      const int64_t row = i / bytes;
      const int64_t crumb = i % bytes - 4 * l.fours;
      const int64_t at = 4 * l.rows * l.fours + row * l.crumbs + crumb;
      const int64_t to = crumb < 0 ? 4 * row * l.fours + i % bytes : at;
      block[to / 4 * kBlock * 4 + to % 4] = from[i];
    }
  }
}

__m512i load(const void* p) { return _mm512_loadu_si512(p); }

// Copies 1 to 64 bytes at a time; reads no others, and writes zeros up to a multiple of 64.
void copy_bytes(uint8_t* out, const uint8_t* in, int64_t count) {
  for (int64_t i = 0; i < count; i += 64) {
    const __mmask64 lanes = count - i >= 64 ? ~__mmask64{0} : (__mmask64{1} << (count - i)) - 1;
    _mm512_storeu_si512(out + i, _mm512_maskz_loadu_epi8(lanes, in + i));
  }
}

// The rows of the windows of `pixels` outputs from `p` on, `stride` bytes apart.
void copy_rows(const ConvU8Args& args, Position p, int64_t pixels, int64_t stride, uint8_t* out) {
  const Window& w = args.shape.window;
  const int64_t channels = args.shape.channels;
  const int64_t bytes = row_bytes(args.shape, pixels);
  const int64_t left = p.ow * w.stride_w - w.padding_w;  // column of the first byte
  const int64_t begin = (left < 0 ? -left : 0) * channels;
  const int64_t end = (w.width - left) * channels < bytes ? (w.width - left) * channels : bytes;
  for (int64_t row = 0; row < w.kernel_h; ++row, out += stride) {
    const int64_t y = p.oh * w.stride_h - w.padding_h + row;
    if (y < 0 || y >= w.height || begin >= end) {
      memset(out, 0, static_cast<size_t>(stride));
      continue;
    }
    memset(out, 0, static_cast<size_t>(begin));
    copy_bytes(out + begin, args.in + (y * w.width + left) * channels + begin, end - begin);
    const int64_t done = begin + (end - begin + 63) / 64 * 64;
    if (done < bytes + 4) {
      memset(out + done, 0, static_cast<size_t>(bytes + 4 - done));
    }
  }
}

// Byte j of a pixel in its crumb row is crumb j of all rows' crumbs: that byte of its row, moved. For the first `step`
// bytes of 64 at a time that are whole pixels.
void make_crumbs(const Layout& l, int64_t bytes, int64_t stride, uint8_t* rows) {
  const int64_t whole = 64 / l.step * l.step;
  __mmask64 first = 0;  // the first byte of each pixel
  for (int64_t i = 0; i < whole; i += l.step) {
    first |= __mmask64{1} << i;
  }
  for (int64_t row = 0; row < l.crumb_rows; ++row) {
    uint8_t* out = rows + (l.rows + row) * stride;
    for (int64_t at = 0; at < bytes; at += whole) {
      __m512i crumbs = _mm512_setzero_si512();
      for (int64_t j = 0; j < 4 && 4 * row + j < l.rows * l.crumbs; ++j) {
        const int64_t crumb = 4 * row + j;
        const uint8_t* in = rows + crumb / l.crumbs * stride + 4 * l.fours + crumb % l.crumbs;
        crumbs = _mm512_mask_mov_epi8(crumbs, first << j, load(in + at - j));
      }
      _mm512_storeu_si512(out + at, crumbs);
    }
  }
}

// One tile's work, but for the number of its pixels.
struct Tile {
  const uint8_t* x;   // the first pixel, first row
  int64_t step;       // to the next pixel
  const int32_t* at;  // where its fours are
  int64_t fours;
  const int8_t* weight;
  const int32_t* start;  // what sums begin with
  int64_t start_step;
  const float* scale;
  const float* bias;
  float* out;
  int64_t out_step;
  __mmask16 low, high;  // outputs that exist
};

template <int kPixels>
void run_tile(const Tile& t) {
  VnniSums<kPixels> sums;
  sums.start(t.start, t.start_step);
  const int8_t* weight = t.weight;
  const int64_t step = t.step;
  for (int64_t i = 0; i < t.fours; ++i, weight += kBlock * 4) {
    sums.add(t.x + t.at[i], step, load(weight), load(weight + 64));
  }
  const __mmask16 lanes[] = {t.low, t.high};
  const __m512 scale[] = {_mm512_maskz_loadu_ps(t.low, t.scale), _mm512_maskz_loadu_ps(t.high, t.scale + 16)};
  const __m512 bias[] = {_mm512_maskz_loadu_ps(t.low, t.bias), _mm512_maskz_loadu_ps(t.high, t.bias + 16)};
  sums.finish([&](int m, int r, __m512i sum) {
    const __m512 y = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale[r]), bias[r]);
    _mm512_mask_storeu_ps(t.out + m * t.out_step + r * 16, lanes[r], y);
  });
}

// 1 to kMost pixels.
template <int kMost>
void run_some(const Tile& t, int64_t pixels) {
  if constexpr (kMost > 1) {
    if (pixels < kMost) {
      run_some<kMost - 1>(t, pixels);
      return;
    }
  }
  run_tile<kMost>(t);
}

__mmask16 lanes_of(int64_t count) {
  return count >= 16  ? static_cast<__mmask16>(0xFFFF)
         : count <= 0 ? __mmask16{0}
                      : static_cast<__mmask16>((1u << count) - 1u);
}

// Minus the offsets of the taps inside of the window at `p`, for 32 outputs. `base`: the packed weight from its first
// output on.
void start_at(const ConvU8Shape& s, Position p, const int32_t* base, int32_t* out) {
  const int64_t step = padded_outputs(s);
  const Taps rows = inside_rows(s.window, p.oh);
  const Taps columns = inside_columns(s.window, p.ow);
  const int32_t* top = base + (1 + rows.begin * (s.window.kernel_w + 1)) * step;
  const int32_t* bottom = base + (1 + rows.end * (s.window.kernel_w + 1)) * step;
  for (int64_t i = 0; i < kBlock; i += 16) {
    const int64_t left = columns.begin * step + i;
    const int64_t right = columns.end * step + i;
    const __m512i above = _mm512_sub_epi32(load(top + right), load(top + left));
    const __m512i below = _mm512_sub_epi32(load(bottom + right), load(bottom + left));
    _mm512_storeu_si512(out + i, _mm512_sub_epi32(above, below));
  }
}

// Of `pixels` pixels from `p` on. Most are like their neighbour.
void starts_at(const ConvU8Shape& s, Position p, int64_t pixels, const int32_t* base, int32_t* out) {
  Taps before = {-1, -1};
  for (int64_t m = 0; m < pixels; ++m, ++p.ow, out += kBlock) {
    const Taps columns = inside_columns(s.window, p.ow);
    if (columns.begin == before.begin && columns.end == before.end) {
      memcpy(out, out - kBlock, kBlock * sizeof(*out));
    } else {
      start_at(s, p, base, out);
    }
    before = columns;
  }
}

// Output pixels of one row, whose windows' rows are at hand.
void run_row(const ConvU8Args& args, const Layout& l, const uint8_t* rows, const int32_t* at, Position p,
             int64_t pixels) {
  const ConvU8Shape& s = args.shape;
  const Whole whole = whole_of(s.window);
  int32_t starts[kTile * kBlock];
  for (int64_t first = 0; first < s.outputs; first += kBlock) {
    const int32_t* base = static_cast<const int32_t*>(args.packed) + first;
    Tile t = {rows,
              l.step,
              at,
              l.all_fours(),
              weights_of(s, args.packed) + first * l.all_fours() * 4,
              base,
              0,
              args.scale + first,
              args.bias + first,
              nullptr,
              s.outputs,
              lanes_of(s.outputs - first),
              lanes_of(s.outputs - first - 16)};
    for (int64_t m = 0; m < pixels; m += kTile) {
      const int64_t count = pixels - m < kTile ? pixels - m : kTile;
      const Position q = {p.oh, p.ow + m};
      const bool inside = whole.has(q) && whole.has({p.oh, q.ow + count - 1});
      if (!inside) {
        starts_at(s, q, count, base, starts);
      }
      t.x = rows + m * l.step;
      t.start = inside ? base : starts;
      t.start_step = inside ? 0 : kBlock;
      t.out = args.out + (q.oh * s.window.out_width + q.ow) * s.outputs + first;
      run_some<kTile>(t, count);
    }
  }
}

void run(const ConvU8Args& args, int64_t begin, int64_t end) {
  const ConvU8Shape& s = args.shape;
  const Layout l = layout_of(s);
  const int64_t columns = columns_of(s);
  const int64_t stride = row_stride(s, columns);
  alignas(64) uint8_t rows[kScratch];
  int32_t at[kMaxFours];
  for (int64_t i = 0; i < l.all_fours(); ++i) {
    const int64_t crumb = i - l.rows * l.fours;
    const int64_t place = crumb < 0 ? i / l.fours * stride + i % l.fours * 4 : (l.rows + crumb) * stride;
    at[i] = static_cast<int32_t>(place);
  }
  for (Position p = {begin, 0}; p.oh < end; ++p.oh) {
    for (p.ow = 0; p.ow < s.window.out_width; p.ow += columns) {
      const int64_t left = s.window.out_width - p.ow;
      const int64_t pixels = left < columns ? left : columns;
      copy_rows(args, p, pixels, stride, rows);
      make_crumbs(l, row_bytes(s, pixels), stride, rows);
      run_row(args, l, rows, at, p, pixels);
    }
  }
}

}  // namespace

constexpr ConvU8Kernel conv_u8_x86_avx512vnni = {
    "conv_u8_x86_avx512vnni", Isa::kAvx512, supports, packed_bytes, pack, run};

}  // namespace reactnet
