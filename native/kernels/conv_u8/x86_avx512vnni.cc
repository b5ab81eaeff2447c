// vpdpbusd multiplies four unsigned bytes by four signed ones and adds all to an int32, without saturation: pixels by
// weights of 8 bits, as they are. A tile is up to fourteen pixels of a row against 32 outputs: 28 sums in registers.
//
// Fours of pixels are read where they lie, in copies of a few rows of the map that have zeros around it. A row of a
// window (21 bytes of 7 taps of 3 channels) may end with crumbs, less than a four; those of all rows make fours of
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
constexpr int64_t kMaxFours = 512;
constexpr int64_t kScratch = 24 * 1024;  // bytes of rows: half of a first cache
constexpr int64_t kSlack = 128;          // behind a row: what vectors read or write too much

// Where the bytes of windows lie. Rows are kept in slots, one for each row of outputs: the rows of the map that the
// next one does not read, then this one's crumbs.
struct Layout {
  int64_t step;    // from pixel to pixel
  int64_t fours;   // of a row, where they lie
  int64_t crumbs;  // bytes of a row behind them
  int64_t rows;    // of the window
  int64_t crumb_rows;
  int64_t slot_rows;  // of the map

  int64_t all_fours() const { return rows * fours + crumb_rows; }
  int64_t slots(int64_t out_rows) const { return out_rows + (rows - 1) / slot_rows; }
  int64_t slot(int64_t stride) const { return (slot_rows + crumb_rows) * stride; }  // bytes
  int64_t place(int64_t row, int64_t stride) const { return row / slot_rows * slot(stride) + row % slot_rows * stride; }
};

Layout layout_of(const ConvU8Shape& s) {
  const Window& w = s.window;
  const int64_t bytes = w.kernel_w * s.channels;
  Layout l = {w.stride_w * s.channels, bytes / 4, bytes % 4, w.kernel_h, 0, w.stride_h};
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

int64_t scratch_bytes(const ConvU8Shape& s, int64_t out_rows, int64_t pixels) {
  const Layout l = layout_of(s);
  return l.slots(out_rows) * l.slot(row_stride(s, pixels));
}

// Outputs of a row that are taken at once: all, or whole tiles whose rows fit.
int64_t columns_of(const ConvU8Shape& s) {
  int64_t columns = s.window.out_width;
  while (columns > kVnniTile && scratch_bytes(s, 1, columns) > kScratch) {
    columns = (columns - 1) / kVnniTile * kVnniTile;
  }
  return columns;
}

// Rows of so many outputs that are taken at once: those that fit.
int64_t out_rows_of(const ConvU8Shape& s, int64_t columns) {
  int64_t rows = 1;
  while (scratch_bytes(s, rows + 1, columns) <= kScratch) {
    ++rows;
  }
  return rows;
}

bool supports(const ConvU8Shape& s) {
  const Layout l = layout_of(s);
  const int64_t columns = s.window.out_width < kVnniTile ? s.window.out_width : kVnniTile;
  return s.weight_bits == 8 && l.all_fours() <= kMaxFours && l.step <= 64 && scratch_bytes(s, 1, columns) <= kScratch;
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

// The bits at `begin` to `end` - 1 of 64, where some of those numbers may lie outside.
__mmask64 lanes_between(int64_t begin, int64_t end) {
  const uint64_t from = begin <= 0 ? ~uint64_t{0} : begin >= 64 ? 0 : ~uint64_t{0} << begin;
  const uint64_t to = end <= 0 ? 0 : end >= 64 ? ~uint64_t{0} : (uint64_t{1} << end) - 1;
  return from & to;
}

// The rows of the map that the windows of `pixels` x `out_rows` outputs from `p` on read, with zeros around it.
void copy_rows(const ConvU8Args& args, const Layout& l, Position p, int64_t out_rows, int64_t pixels, uint8_t* out) {
  const Window& w = args.shape.window;
  const int64_t channels = args.shape.channels;
  const int64_t stride = row_stride(args.shape, pixels);
  const int64_t left = p.ow * w.stride_w - w.padding_w;  // column of the first byte
  const int64_t begin = -left * channels;
  const int64_t end = (w.width - left) * channels;
  for (int64_t row = 0; row < (out_rows - 1) * w.stride_h + w.kernel_h; ++row) {
    const int64_t y = p.oh * w.stride_h - w.padding_h + row;
    const bool inside = y >= 0 && y < w.height;
    const uint8_t* in = args.in + (inside ? y * w.width + left : 0) * channels;
    uint8_t* to = out + l.place(row, stride);
    for (int64_t i = 0; i < stride; i += 64) {
      const bool all = inside && i >= begin && i + 64 <= end;
      const __mmask64 lanes = all ? ~__mmask64{0} : inside ? lanes_between(begin - i, end - i) : 0;
      _mm512_storeu_si512(to + i, _mm512_maskz_loadu_epi8(lanes, in + i));
    }
  }
}

// A crumb's bytes in 64 of its crumb row, and where they come from.
struct Crumb {
  const uint8_t* in;
  __mmask64 lanes;

  __m512i put(__m512i others, int64_t at) const { return _mm512_mask_mov_epi8(others, lanes, vnni_load(in + at)); }
};

// Byte j of a pixel in its crumb row is crumb j of all rows' crumbs: that byte of its row, moved. As many pixels at a
// time as have their bytes in 64.
void make_crumbs(const Layout& l, int64_t bytes, int64_t stride, uint8_t* slot) {
  const int64_t whole = 64 / l.step * l.step;
  __mmask64 first = 0;  // the first byte of each pixel
  for (int64_t i = 0; i < whole; i += l.step) {
    first |= __mmask64{1} << i;
  }
  for (int64_t row = 0; row < l.crumb_rows; ++row) {
    Crumb crumbs[4];
    for (int64_t j = 0; j < 4; ++j) {
      const int64_t i = 4 * row + j;
      const bool there = i < l.rows * l.crumbs;
      const int64_t from = there ? l.place(i / l.crumbs, stride) + 4 * l.fours + i % l.crumbs - j : 0;
      crumbs[j] = {slot + from, there ? first << j : 0};
    }
    uint8_t* out = slot + (l.slot_rows + row) * stride;
    for (int64_t at = 0; at < bytes; at += whole) {
      const __m512i two = crumbs[1].put(crumbs[0].put(_mm512_setzero_si512(), at), at);
      _mm512_storeu_si512(out + at, crumbs[3].put(crumbs[2].put(two, at), at));
    }
  }
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
    const __m512i above = _mm512_sub_epi32(vnni_load(top + right), vnni_load(top + left));
    const __m512i below = _mm512_sub_epi32(vnni_load(bottom + right), vnni_load(bottom + left));
    _mm512_storeu_si512(out + i, _mm512_sub_epi32(above, below));
  }
}

// Of `pixels` pixels from `p` on. Most are whole, and like their neighbour.
void starts_at(const ConvU8Shape& s, const Taps& whole, Position p, int64_t pixels, const int32_t* base, int32_t* out) {
  for (int64_t m = 0; m < pixels; ++m, ++p.ow, out += kBlock) {
    if (m > 0 && p.ow > whole.begin && p.ow < whole.end) {
      _mm512_storeu_si512(out, vnni_load(out - kBlock));
      _mm512_storeu_si512(out + 16, vnni_load(out - kBlock + 16));
    } else {
      start_at(s, p, base, out);
    }
  }
}

// Rows at hand, for outputs from `p` on.
struct AtHand {
  Whole whole;
  const uint8_t* slots;
  int64_t slot;       // bytes
  const int32_t* at;  // where the fours of a pixel are
  Position p;
  int64_t out_rows;
};

// Sums of tiles become outputs where the map has them.
struct Written {
  const ConvU8Args& args;
  VnniOutputs<false> outputs;

  Written(const ConvU8Args& a, int64_t first)
      : args(a),
        outputs{nullptr,
                a.scale + first,
                a.bias + first,
                nullptr,
                a.shape.outputs,
                vnni_lanes(a.shape.outputs - first),
                vnni_lanes(a.shape.outputs - first - 16)} {}

  static int64_t tile_of(int64_t pixels) { return vnni_tile_of(pixels); }

  void finish(const VnniTile& tile, int64_t count, const int32_t* at, Position q, int64_t first) {
    outputs.out = args.out + (q.oh * args.shape.window.out_width + q.ow) * args.shape.outputs + first;
    vnni_sum<kVnniTile>(
        tile, count, [at](int64_t i) { return at[i]; }, outputs);
  }
};

#include "conv_u8/x86_avx512vnni_pooled.h"

// A tile's column of `count` pixels from `m` on, down all rows at hand, for the outputs from `first` on. Out of line:
// GCC 12 would share its registers with all that stands around it, for 4 % of a stem.
template <class Ends>
__attribute__((noinline)) void run_column(const ConvU8Args& args, const Layout& l, const AtHand& hand, int64_t m,
                                          int64_t count, int64_t first, Ends& ends) {
  const ConvU8Shape& s = args.shape;
  const Taps& whole = hand.whole.columns;
  const bool columns_inside = hand.p.ow + m >= whole.begin && hand.p.ow + m + count <= whole.end;
  const int32_t* base = static_cast<const int32_t*>(args.packed) + first;
  const int8_t* weight = weights_of(s, args.packed) + first * l.all_fours() * 4;
  int32_t starts[kVnniTile * kBlock];
  Taps before = {-1, -1};
  for (int64_t row = 0; row < hand.out_rows; ++row) {
    const Position q = {hand.p.oh + row, hand.p.ow + m};
    const Taps taps = inside_rows(s.window, q.oh);
    const bool inside = columns_inside && q.oh >= hand.whole.rows.begin && q.oh < hand.whole.rows.end;
    if (!inside && (taps.begin != before.begin || taps.end != before.end)) {
      starts_at(s, whole, q, count, base, starts);
      before = taps;
    }
    const VnniTile tile = {hand.slots + row * hand.slot + m * l.step,
                           l.step,
                           l.all_fours(),
                           weight,
                           inside ? base : starts,
                           inside ? 0 : kBlock};
    ends.finish(tile, count, hand.at, q, first);
  }
}

template <class Ends, class State>
void run_rows(const ConvU8Args& args, const Layout& l, const AtHand& hand, int64_t pixels, State& state) {
  const int64_t size = Ends::tile_of(pixels);
  for (int64_t first = 0; first < args.shape.outputs; first += kBlock) {
    Ends ends(state, first);
    for (int64_t m = 0; m < pixels; m += size) {
      run_column(args, l, hand, m, pixels - m < size ? pixels - m : size, first, ends);
    }
  }
}

// Where the fours of a pixel are, from its first byte on.
void set_places(const Layout& l, int64_t stride, int32_t* at) {
  for (int64_t row = 0; row < l.rows; ++row) {
    const int64_t place = l.place(row, stride);
    for (int64_t i = 0; i < l.fours; ++i) {
      *at++ = static_cast<int32_t>(place + i * 4);
    }
  }
  for (int64_t row = 0; row < l.crumb_rows; ++row) {
    *at++ = static_cast<int32_t>((l.slot_rows + row) * stride);
  }
}

// Rows begin to end - 1 of the map.
template <class Ends, class State>
void run_map(const ConvU8Args& args, int64_t begin, int64_t end, State& state) {
  const ConvU8Shape& s = args.shape;
  const Layout l = layout_of(s);
  const int64_t columns = columns_of(s);
  const int64_t most = out_rows_of(s, columns);
  const Whole whole = whole_of(s.window);
  alignas(64) uint8_t slots[kScratch];
  int32_t at[kMaxFours];
  for (int64_t ow = 0; ow < s.window.out_width; ow += columns) {
    const int64_t pixels = s.window.out_width - ow < columns ? s.window.out_width - ow : columns;
    const int64_t stride = row_stride(s, pixels);
    set_places(l, stride, at);
    for (int64_t oh = begin; oh < end; oh += most) {
      const AtHand hand = {whole, slots, l.slot(stride), at, {oh, ow}, end - oh < most ? end - oh : most};
      copy_rows(args, l, hand.p, hand.out_rows, pixels, slots);
      for (int64_t row = 0; row < hand.out_rows; ++row) {
        make_crumbs(l, row_bytes(s, pixels), stride, slots + row * hand.slot);
      }
      run_rows<Ends>(args, l, hand, pixels, state);
    }
  }
}

void run(const ConvU8Args& args, int64_t begin, int64_t end) {
  if (args.out_pooled == nullptr) {
    run_map<Written>(args, begin, end, args);
    return;
  }
  PooledRows rows(args, begin);
  run_map<Pooled>(args, rows.first, 2 * end, rows);
}

}  // namespace

constexpr ConvU8Kernel conv_u8_x86_avx512vnni = {
    "conv_u8_x86_avx512vnni", Isa::kAvx512, supports, packed_bytes, pack, run, pools};

}  // namespace reactnet
