// AVX-512 has a vector popcount, and one popcount is enough for two words. With d1 = a1 ^ w1, d2 = a2 ^ w2, p = a1 ^ a2
// and q = w1 ^ w2, the words d1, ~p and q are the inputs of a full adder whose sum is ~d2, so
//   popcnt(d1) + popcnt(d2) = popcnt(p) - popcnt(q) + 2 popcnt(maj(d1, ~p, q)).
// popcnt(q) is a constant of the output and popcnt(p) one of the pixel. What is left for 1,024 products is four
// instructions: vpxord, vpternlogd, vpopcntd, vpaddd. A register holds 32 channels of sixteen outputs, and the half
// words of a pixel are broadcast against it: no sum across lanes, no narrowing.
//
// A tile is kPixels pixels of a row against kRegisters registers of outputs, its sums stay in registers. Taps outside
// of the map are skipped: whole rows of the window, and of the first and last pixel of a tile the columns.
#include "bconv2d/x86_avx512_epilogue.h"
#include "bconv2d/x86_avx512_layout.h"
#include "bconv2d/x86_avx512_planes.h"

namespace reactnet {
namespace {

constexpr int64_t kMaxWords = 1024;   // of a pixel: 65,536 channels
constexpr int kSecondOrFirst = 0xD4;  // of (d1, q, p): p == q ? d1 : q

bool supports(const BConv2dShape& s) { return s.groups == 1 && (s.channels + 63) / 64 <= kMaxWords; }

// Constants of the outputs of a block, for the taps inside of a pixel.
struct Constants {
  Taps kh, kw;
  int32_t sum[4 * kLanes];
};

// One row of outputs against one block.
struct Row {
  const BConv2dArgs* args;
  const Layout* layout;
  const uint32_t* words;   // the planes, from row kh.begin of the window on
  int64_t row_step;        // u32 from row to row
  int64_t pixel_step;      // u32 from output to output
  const uint32_t* weight;  // of row kh.begin
  int64_t rows;
  int64_t first;         // output
  int64_t pixel;         // of the row's first output
  const int32_t* boxes;  // of the row
  int32_t tap_channels;  // products of a column of the window
  int32_t* counts;       // kCounts registers, for the pixels from `waiting` on
  int64_t waiting;
  int64_t whole[2];  // pixels from the first to before the second have all columns of the window inside
  FinishRun finish_run;
};

// A tile of it: pixel words [0, before) have no first pixel, [before, after) all, [after, row_words) no last one.
struct Tile {
  int64_t ow;
  int64_t at;  // u32 from Row::words to the first pixel's window; may be negative, where it begins outside
  int64_t before, after;
};

// Pair words [0, count) of the pixels [kFirst, kLast) of a tile; `in` is where pixel kFirst has them.
template <int kPixels, int kRegisters, int kFirst, int kLast, int kStep>
inline __attribute__((always_inline)) void count_run(const uint32_t* in, int64_t step, const uint32_t* weight,
                                                     int64_t count, __m512i (&sums)[kPixels][kRegisters]) {
  step = kStep != 0 ? kStep : step;
  for (const uint32_t* end = in + 2 * count; in != end; in += 2, weight += 2 * kRegisters * kLanes) {
    __m512i w[kRegisters];
    __m512i q[kRegisters];
    for (int n = 0; n < kRegisters; ++n) {
      w[n] = _mm512_load_si512(weight + 2 * n * kLanes);
      q[n] = _mm512_load_si512(weight + (2 * n + 1) * kLanes);
    }
    for (int m = kFirst; m < kLast; ++m) {
      const __m512i a = _mm512_set1_epi32(static_cast<int>(in[(m - kFirst) * step]));
      const __m512i p = _mm512_set1_epi32(static_cast<int>(in[(m - kFirst) * step + 1]));
      for (int n = 0; n < kRegisters; ++n) {
        const __m512i d = _mm512_xor_si512(a, w[n]);
        const __m512i b = _mm512_ternarylogic_epi32(d, q[n], p, kSecondOrFirst);
        sums[m][n] = _mm512_add_epi32(sums[m][n], _mm512_popcnt_epi32(b));
      }
    }
  }
}

// Leaves the counts of a tile for the epilogue.
template <int kPixels, int kRegisters>
inline __attribute__((always_inline)) void finish(const Row& row, const Tile& tile,
                                                  const __m512i (&sums)[kPixels][kRegisters]) {
  int32_t* counts = row.counts + (tile.ow - row.waiting) * kRegisters * kLanes;
  for (int m = 0; m < kPixels; ++m) {
    for (int n = 0; n < kRegisters; ++n) {
      _mm512_store_si512(counts + (m * kRegisters + n) * kLanes, sums[m][n]);
    }
  }
}

template <int kPixels, int kRegisters, int kStep>
void run_tile(const Row& row, const Tile& tile) {
  const Layout& l = *row.layout;
  const int64_t word = 2 * kRegisters * kLanes;  // u32 of the weights of a pair word
  const int64_t step = kStep != 0 ? kStep : row.pixel_step;
  __m512i sums[kPixels][kRegisters];
  for (int m = 0; m < kPixels; ++m) {
    for (int n = 0; n < kRegisters; ++n) {
      sums[m][n] = _mm512_setzero_si512();
    }
  }
  const uint32_t* weight = row.weight;
  for (int64_t r = 0; r < row.rows; ++r, weight += l.row_words * word) {
    const int64_t at =
        tile.at +
        (l.neighbours ? 2 * ((kTapOfPair[r][0][0] * l.width + kTapOfPair[r][0][1]) * kNeighbourPlanes + kPlaneOfPair[r])
                      : r * row.row_step);
    if constexpr (kPixels > 1) {
      count_run<kPixels, kRegisters, 1, kPixels, kStep>(row.words + (at + step), step, weight, tile.before, sums);
    }
    count_run<kPixels, kRegisters, 0, kPixels, kStep>(row.words + (at + 2 * tile.before), step,
                                                      weight + tile.before * word, tile.after - tile.before, sums);
    if constexpr (kPixels > 1) {
      count_run<kPixels, kRegisters, 0, kPixels - 1, kStep>(row.words + (at + 2 * tile.after), step,
                                                            weight + tile.after * word, l.row_words - tile.after, sums);
    }
  }
  finish<kPixels, kRegisters>(row, tile, sums);
}

using RunTile = void (*)(const Row&, const Tile&);

// The tile that a row is cut into, the steps from pixel to pixel of common layers built in.
template <int kPixels, int kRegisters>
RunTile main_tile(int64_t pixel_step) {
  switch (pixel_step) {
    case 2:
      return run_tile<kPixels, kRegisters, 2>;
    case 4:
      return run_tile<kPixels, kRegisters, 4>;
    case 8:
      return run_tile<kPixels, kRegisters, 8>;
    case 16:
      return run_tile<kPixels, kRegisters, 16>;
    case 32:
      return run_tile<kPixels, kRegisters, 32>;
    default:
      return run_tile<kPixels, kRegisters, 0>;
  }
}

// Tiles of a row, largest first, the last of one pixel.
struct Tiles {
  int64_t pixels[3];
  RunTile run[3];
};

Tiles tiles_of(const BConv2dShape& s, const Layout& l) {
  const int64_t step = 2 * l.pixel_words * s.window.stride_w;
  if (l.registers == 4) {
    return {{4, 2, 1}, {main_tile<4, 4>(step), run_tile<2, 4, 0>, run_tile<1, 4, 0>}};
  }
  if (s.window.out_width % 7 == 0) {
    return {{7, 3, 1}, {main_tile<7, 2>(step), run_tile<3, 2, 0>, run_tile<1, 2, 0>}};
  }
  return {{8, 3, 1}, {main_tile<8, 2>(step), run_tile<3, 2, 0>, run_tile<1, 2, 0>}};
}

// The constants of the block for the taps inside; kept as long as they stay the same.
const int32_t* constants_for(const Row& row, Taps kh, Taps kw, Constants& c) {
  if (c.kh.begin == kh.begin && c.kh.end == kh.end && c.kw.begin == kw.begin && c.kw.end == kw.end) {
    return c.sum;
  }
  c.kh = kh;
  c.kw = kw;
  const Layout& l = *row.layout;
  const int64_t kernel_w = row.args->shape.window.kernel_w;
  const int32_t* constant = constants_of(row.args->packed, l) + row.first;
  const auto table = [&](int64_t i, int64_t j) { return constant + (1 + i * (kernel_w + 1) + j) * l.lanes; };
  const int32_t* corners[4] = {table(kh.begin, kw.begin), table(kh.begin, kw.end), table(kh.end, kw.begin),
                               table(kh.end, kw.end)};
  const int32_t products = static_cast<int32_t>(l.neighbours ? kernel_w : kw.end - kw.begin) * row.tap_channels;
  for (int64_t i = 0; i < l.registers * kLanes; ++i) {
    c.sum[i] = products + constant[i] + corners[0][i] - corners[1][i] - corners[2][i] + corners[3][i];
  }
  return c.sum;
}

// Finishes the pixels that wait, before `end`.
void finish_waiting(Row& row, int64_t end, Taps kh, Constants (&constants)[3]) {
  const BConv2dArgs& args = *row.args;
  const int64_t pixel_counts = row.layout->registers * kLanes;
  for (int64_t ow = row.waiting; ow < end;) {
    const bool whole = ow >= row.whole[0] && ow < row.whole[1];
    const int64_t last = !whole ? ow + 1 : end < row.whole[1] ? end : row.whole[1];
    const Taps kw = inside_columns(args.shape.window, ow);
    Constants& kept = constants[whole ? 1 : ow < row.whole[0] ? 0 : 2];
    const int32_t* counts = row.counts + (ow - row.waiting) * pixel_counts;
    const int32_t* sums = constants_for(row, kh, kw, kept);
    row.finish_run(args, {row.first, row.pixel + ow, last - ow, counts, row.boxes + ow, sums});
    ow = last;
  }
  row.waiting = end;
}

// Whether the taps of a tile fit the runs and constants of run_tile: only its first pixel may lack taps on the left,
// only its last on the right, and not the same ones.
bool fits(const Window& w, int64_t ow, int64_t pixels) {
  const Taps first = inside_columns(w, ow);
  const Taps last = inside_columns(w, ow + pixels - 1);
  return pixels == 1 || (first.end == w.kernel_w && last.begin == 0 && first.begin <= last.end &&
                         inside_columns(w, ow + 1).begin == 0 && inside_columns(w, ow + pixels - 2).end == w.kernel_w);
}

void run_row(Row& row, const Tiles& tiles, Taps kh, Constants (&constants)[3]) {
  const Layout& l = *row.layout;
  const Window& w = row.args->shape.window;
  const int64_t most = kCounts / l.registers;  // pixels that can wait
  row.waiting = 0;
  for (int64_t ow = 0; ow < w.out_width;) {
    int size = 0;
    while (size < 2 && (ow + tiles.pixels[size] > w.out_width || !fits(w, ow, tiles.pixels[size]))) {
      ++size;
    }
    const int64_t pixels = tiles.pixels[size];
    const Taps first = inside_columns(w, ow);
    const Taps last = inside_columns(w, ow + pixels - 1);
    if (ow + pixels - row.waiting > most) {
      finish_waiting(row, ow, kh, constants);
    }
    Tile tile = {ow, ow * row.pixel_step, 0, l.row_words};
    if (!l.neighbours) {
      tile.at -= 2 * w.padding_w * l.pixel_words;
      tile.before = first.begin * l.pixel_words;
      tile.after = last.end * l.pixel_words;
    }
    tiles.run[size](row, tile);
    ow += pixels;
  }
  finish_waiting(row, w.out_width, kh, constants);
}

// Output rows begin to end - 1, whose planes begin with row `top` of the map, against one block.
void run_block(const BConv2dArgs& args, const Layout& l, const Planes& planes, const Tiles& tiles, int64_t top,
               int64_t begin, int64_t end, int64_t block) {
  const Window& w = args.shape.window;
  const uint32_t* weight = static_cast<const uint32_t*>(args.packed) + block * l.block_words;
  const uint32_t* words = reinterpret_cast<const uint32_t*>(planes.words);
  Constants constants[3];
  for (Constants& c : constants) {
    c.kh = {-1, -1};
  }
  alignas(64) int32_t counts[kCounts * kLanes];
  Row row = {};
  row.counts = counts;
  row.whole[0] = (w.padding_w + w.stride_w - 1) / w.stride_w;
  const int64_t room = w.width + w.padding_w - w.kernel_w;
  row.whole[1] = room < 0 ? 0 : room / w.stride_w + 1;
  row.whole[1] = row.whole[1] < w.out_width ? row.whole[1] : w.out_width;
  row.finish_run = l.registers == 4 ? finish_run_for<4>(args) : finish_run_for<2>(args);
  row.args = &args;
  row.layout = &l;
  row.row_step = 2 * l.width * l.pixel_words;
  row.pixel_step = 2 * l.pixel_words * w.stride_w;
  row.first = block * l.registers * kLanes;
  for (int64_t oh = begin; oh < end; ++oh) {
    const Taps kh = inside_rows(w, oh);
    const int64_t y = oh * w.stride_h - w.padding_h - top + (l.neighbours ? 0 : kh.begin);
    row.words = words + (kh.begin < kh.end || l.neighbours ? y * row.row_step : 0);
    row.weight = weight + (l.neighbours ? 0 : kh.begin * l.row_words * l.registers * 2 * kLanes);
    row.rows = l.neighbours ? kNeighbourRows : kh.end - kh.begin;
    row.tap_channels = static_cast<int32_t>((l.neighbours ? w.kernel_h : row.rows) * args.shape.channels);
    row.pixel = oh * w.out_width;
    row.boxes = planes.boxes + (oh - begin) * w.out_width;
    run_row(row, tiles, kh, constants);
  }
}

void run(const BConv2dArgs& args, int64_t begin, int64_t end) {
  const Layout l = layout_of(args.shape);
  const Planes planes = planes_of(args.shape, l, args.scratch);
  const Tiles tiles = tiles_of(args.shape, l);
  for (int64_t oh = begin; oh < end; oh += planes.out_rows) {
    const int64_t last = oh + planes.out_rows < end ? oh + planes.out_rows : end;
    const int64_t top = make_planes(args, l, planes, oh, last);
    for (int64_t block = 0; block < l.blocks; ++block) {
      run_block(args, l, planes, tiles, top, oh, last, block);
    }
  }
}

}  // namespace

constexpr BConv2dKernel bconv2d_x86_avx512vpopcntdq = {
    "bconv2d_x86_avx512vpopcntdq", Isa::kAvx512, supports, packed_bytes, pack, scratch_bytes, run};

}  // namespace reactnet
