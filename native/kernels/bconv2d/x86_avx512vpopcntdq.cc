// AVX-512 has a vector popcount, and one popcount is enough for two words. With d1 = a1 ^ w1, d2 = a2 ^ w2, p = a1 ^ a2
// and q = w1 ^ w2, the words d1, ~p and q are the inputs of a full adder whose sum is ~d2, so
//   popcnt(d1) + popcnt(d2) = popcnt(p) - popcnt(q) + 2 popcnt(maj(d1, ~p, q)).
// popcnt(q) is a constant of the output and popcnt(p) one of the pixel. What is left for 1,024 products is four
// instructions: vpxord, vpternlogd, vpopcntd, vpaddd. A register holds 32 channels of sixteen outputs, and the half
// words of a pixel are broadcast against it: no sum across lanes, no narrowing.
//
// A tile is kPixels pixels of a row against kRegisters registers of outputs, its sums stay in registers. A window is a
// list of places, counted in one loop. Taps outside of the map are skipped: whole rows of the window, and of the first
// and last pixel of a tile the columns.
#include "bconv2d/x86_avx512_epilogue.h"
#include "bconv2d/x86_avx512_layout.h"
#include "bconv2d/x86_avx512_planes.h"

namespace reactnet {
namespace {

constexpr int64_t kMaxProducts = 1 << 21;  // of an output: then all sums on the way to acc are exact in f32
constexpr int kSecondOrFirst = 0xD4;       // of (d1, q, p): p == q ? d1 : q

bool supports(const BConv2dShape& s) {
  return s.groups == 1 && s.channels * s.window.kernel_h * s.window.kernel_w <= kMaxProducts;
}

// One row of outputs against one block.
struct Row {
  const BConv2dArgs* args;
  const Layout* layout;
  const uint32_t* words;   // the planes
  int64_t at;              // u32 from them to the window of the row's first output; negative if it begins outside
  int64_t pixel_step;      // u32 from output to output
  const Place* places;     // of the rows of the window that are inside: `runs` of `run_words`, a column or the whole
  const uint32_t* weight;  // of the first place
  int64_t runs, run_words;
  int64_t ahead;  // u32 from weights to those of the next block: to a line of each place, which is fetched meanwhile
  Taps kh;
  int64_t pixel;         // of the row's first output
  const int32_t* boxes;  // of the row
  const int32_t* odd;
  int32_t tap_channels;  // products of a column of the window
  int64_t whole[2];      // pixels from the first to before the second have all columns of the window inside
  int64_t most;          // pixels that wait
  FinishQueue finish_queue;
  Queue* queue;
};

// A tile of it. Of the places of the row's runs, [0, before) have no first pixel, [before, after) all, and those from
// `after` on no last one.
struct Tile {
  int64_t ow;
  int64_t before, after;
  int32_t* counts;
};

template <int kIndex>
struct At {
  static constexpr int i = kIndex;
};

// f(At<kFirst>()) to f(At<kLast - 1>()). GCC keeps an array in registers if it knows each index before it unrolls
// loops.
template <int kFirst, int kLast, class F>
inline __attribute__((always_inline)) void each(const F& f) {
  if constexpr (kFirst < kLast) {
    f(At<kFirst>());
    each<kFirst + 1, kLast>(f);
  }
}

// sum + more. GCC 12 puts sums that live from loop to loop anywhere and then moves them: a third of the instructions.
inline __attribute__((always_inline)) __m512i add_to(__m512i sum, __m512i more) {
#ifdef __AVX512F__  // not under SIMDe
  asm("vpaddd %1, %0, %0" : "+v"(sum) : "v"(more));
  return sum;
#else
  return _mm512_add_epi32(sum, more);
#endif
}

// The same, loaded once: where GCC 12 makes a load of each use, four of them are more than the core can do.
template <bool kHold>
inline __attribute__((always_inline)) __m512i held(__m512i value) {
#ifdef __AVX512F__
  if constexpr (kHold) {
    asm("" : "+v"(value));
  }
#endif
  return value;
}

// `count` places for the pixels [kFirst, kLast) of a tile; `at` is the u32 from the planes to the window of kFirst.
template <int kPixels, int kRegisters, int kFirst, int kLast>
inline __attribute__((always_inline)) void count_run(const Row& row, int64_t at, const Place* places,
                                                     const uint32_t* weight, int64_t count,
                                                     __m512i (&sums)[kPixels][kRegisters]) {
  const int64_t step = row.pixel_step;
  const uint32_t* words = row.words;
  for (const Place* end = places + count; places != end; ++places, weight += 2 * kRegisters * kLanes) {
    const uint32_t* in = words + (at + places->a);
    const uint32_t* in_p = words + (at + places->p);
    __builtin_prefetch(weight + row.ahead, 0, 2);
    __m512i w[kRegisters];
    __m512i q[kRegisters];
    each<0, kRegisters>([&](auto n) __attribute__((always_inline)) {
      w[n.i] = _mm512_load_si512(weight + 2 * n.i * kLanes);
      q[n.i] = _mm512_load_si512(weight + (2 * n.i + 1) * kLanes);
    });
    each<kFirst, kLast>([&](auto m) __attribute__((always_inline)) {
      const __m512i a = _mm512_set1_epi32(static_cast<int>(in[(m.i - kFirst) * step]));
      const __m512i p = held<(kRegisters > 2)>(_mm512_set1_epi32(static_cast<int>(in_p[(m.i - kFirst) * step])));
      each<0, kRegisters>([&](auto n) __attribute__((always_inline)) {
        const __m512i d = _mm512_xor_si512(a, w[n.i]);
        const __m512i b = _mm512_ternarylogic_epi32(d, q[n.i], p, kSecondOrFirst);
        sums[m.i][n.i] = add_to(sums[m.i][n.i], _mm512_popcnt_epi32(b));
      });
    });
  }
}

// Leaves the counts of a tile for the epilogue.
template <int kPixels, int kRegisters>
inline __attribute__((always_inline)) void finish(const Tile& tile, const __m512i (&sums)[kPixels][kRegisters]) {
  int32_t* counts = tile.counts;
  each<0, kPixels>([&](auto m) __attribute__((always_inline)) {
    each<0, kRegisters>([&](auto n) __attribute__((always_inline)) {
      _mm512_store_si512(counts + (m.i * kRegisters + n.i) * kLanes, sums[m.i][n.i]);
    });
  });
}

int64_t clamp(int64_t value, int64_t most) { return value < 0 ? 0 : value < most ? value : most; }

template <int kPixels, int kRegisters, bool kWhole>
inline __attribute__((always_inline)) void run_tile(const Row& row, const Tile& tile) {
  const int64_t word = 2 * kRegisters * kLanes;  // u32 of the weights of a place
  const int64_t step = row.layout->column_words;
  const int64_t at = row.at + tile.ow * row.pixel_step;
  const int64_t count = row.run_words;
  __m512i sums[kPixels][kRegisters];
  each<0, kPixels>([&](auto m) __attribute__((always_inline)) {
    const __m512i box = _mm512_set1_epi32(row.boxes[tile.ow + m.i]);
    each<0, kRegisters>([&](auto n) __attribute__((always_inline)) { sums[m.i][n.i] = box; });
  });
  const Place* places = row.places;
  const uint32_t* weight = row.weight;
  for (int64_t r = 0; r < row.runs; ++r, places += step, weight += step * word) {
    if constexpr (kWhole || kPixels == 1) {
      const int64_t before = kWhole ? 0 : clamp(tile.before - r * count, count);
      const int64_t after = kWhole ? count : clamp(tile.after - r * count, count);
      count_run<kPixels, kRegisters, 0, kPixels>(row, at, places + before, weight + before * word, after - before,
                                                 sums);
    } else {
      const int64_t before = clamp(tile.before - r * count, count);
      const int64_t after = clamp(tile.after - r * count, count);
      count_run<kPixels, kRegisters, 1, kPixels>(row, at + row.pixel_step, places, weight, before, sums);
      count_run<kPixels, kRegisters, 0, kPixels>(row, at, places + before, weight + before * word, after - before,
                                                 sums);
      count_run<kPixels, kRegisters, 0, kPixels - 1>(row, at, places + after, weight + after * word, count - after,
                                                     sums);
    }
  }
  finish<kPixels, kRegisters>(tile, sums);
}

// Tiles that are whole, from `tile` to `end`; or one that may not be.
template <int kPixels, int kRegisters, bool kWhole>
void run_tiles(const Row& row, const Tile& tile, int64_t end) {
  if constexpr (kWhole) {
    int32_t* counts = tile.counts;
    for (int64_t ow = tile.ow; ow < end; ow += kPixels, counts += kPixels * kRegisters * kLanes) {
      run_tile<kPixels, kRegisters, true>(row, {ow, 0, 0, counts});
    }
  } else {
    run_tile<kPixels, kRegisters, false>(row, tile);
  }
}

using RunTiles = void (*)(const Row&, const Tile&, int64_t);

// Tiles of a row, largest first, the last of one pixel; and the largest where windows have all columns.
struct Tiles {
  int64_t pixels[3];
  RunTiles run[3];
  RunTiles run_whole;
};

template <int kPixels, int kFewer, int kRegisters>
Tiles tiles_of_pixels() {
  return {
      {kPixels, kFewer, 1},
      {run_tiles<kPixels, kRegisters, false>, run_tiles<kFewer, kRegisters, false>, run_tiles<1, kRegisters, false>},
      run_tiles<kPixels, kRegisters, true>};
}

Tiles tiles_of(const BConv2dShape& s, const Layout& l) {
  if (l.registers == 4) {
    return tiles_of_pixels<4, 2, 4>();
  }
  return s.window.out_width % 7 == 0 ? tiles_of_pixels<7, 3, 2>() : tiles_of_pixels<8, 3, 2>();
}

void finish_waiting(Row& row) {
  Queue& queue = *row.queue;
  if (queue.pixels != 0) {
    row.finish_queue(*row.args, queue);
  }
  queue.pixels = 0;
}

// The constants of the block for the columns inside.
void make_constants(const Row& row, Taps kw, Constants& c) {
  c.kw = kw;
  const Layout& l = *row.layout;
  const Taps kh = row.kh;
  const int64_t kernel_w = row.args->shape.window.kernel_w;
  const int32_t* constant = constants_of(row.args->packed, l) + row.queue->first;
  const auto table = [&](int64_t i, int64_t j) { return constant + (1 + i * (kernel_w + 1) + j) * l.lanes; };
  const int32_t* corners[4] = {table(kh.begin, kw.begin), table(kh.begin, kw.end), table(kh.end, kw.begin),
                               table(kh.end, kw.end)};
  const int32_t products = static_cast<int32_t>(l.neighbours ? kernel_w : kw.end - kw.begin) * row.tap_channels;
  const int64_t outputs = l.registers * kLanes;
  for (int64_t i = 0; i < outputs; ++i) {
    const int32_t acc = products + constant[i] + corners[0][i] - corners[1][i] - corners[2][i] + corners[3][i];
    c.acc[i] = static_cast<float>(acc);
    c.acc[outputs + i] = static_cast<float>(acc - 2);
  }
}

// The constants of pixel `ow`, which lacks columns; kept as long as they stay the same. What waits may need those that
// were there.
Constants& edge_constants(Row& row, int64_t ow) {
  const Taps kw = inside_columns(row.args->shape.window, ow);
  Constants& c = row.queue->constants[kw.begin > 0 ? 0 : 2];
  if (c.kw.begin != kw.begin || c.kw.end != kw.end) {
    finish_waiting(row);
    make_constants(row, kw, c);
  }
  return c;
}

// Gives the pixels ow to end - 1 a place in the queue, before they are counted: where their counts belong. Only the
// first and the last may lack columns.
int32_t* enqueue(Row& row, int64_t ow, int64_t end) {
  Queue& queue = *row.queue;
  const int64_t outputs = row.layout->registers * kLanes;
  if (queue.pixels + end - ow > row.most) {
    finish_waiting(row);
  }
  const float* whole = queue.constants[1].acc;
  const float* first = ow < row.whole[0] || ow >= row.whole[1] ? edge_constants(row, ow).acc : whole;
  const float* last = end > row.whole[1] ? edge_constants(row, end - 1).acc : whole;
  if (queue.pixels == 0) {
    queue.pixel = row.pixel + ow;
  }
  int32_t* counts = queue.counts + queue.pixels * outputs;
  const float** acc = queue.acc + queue.pixels;
  queue.pixels += end - ow;
  *acc++ = first + row.odd[ow] * outputs;
  for (int64_t m = ow + 1; m < end - 1; ++m) {
    *acc++ = whole + row.odd[m] * outputs;
  }
  if (end - ow > 1) {
    *acc = last + row.odd[end - 1] * outputs;
  }
  return counts;
}

// Whether the taps of a tile fit the runs and constants of run_tile: only its first pixel may lack taps on the left,
// only its last on the right, and not the same ones.
bool fits(const Window& w, int64_t ow, int64_t pixels) {
  const Taps first = inside_columns(w, ow);
  const Taps last = inside_columns(w, ow + pixels - 1);
  return pixels == 1 || (first.end == w.kernel_w && last.begin == 0 && first.begin <= last.end &&
                         inside_columns(w, ow + 1).begin == 0 && inside_columns(w, ow + pixels - 2).end == w.kernel_w);
}

// The largest tile at `ow`: its place in Tiles.
int largest_tile(const Window& w, const Tiles& tiles, int64_t ow) {
  int size = 0;
  while (size < 2 && (ow + tiles.pixels[size] > w.out_width || !fits(w, ow, tiles.pixels[size]))) {
    ++size;
  }
  return size;
}

// A tile some of whose windows lack columns.
Tile edge_tile(const Row& row, int64_t ow, int64_t end, int32_t* counts) {
  const int64_t words = row.runs * row.run_words;
  if (row.layout->neighbours) {
    return {ow, 0, words, counts};
  }
  const Window& w = row.args->shape.window;
  const int64_t column = words / w.kernel_w;
  return {ow, inside_columns(w, ow).begin * column, inside_columns(w, end - 1).end * column, counts};
}

// Another line of each place of the next block: as many calls as a place has lines, and all of it is fetched.
void fetch_other_line(Row& row) {
  const int64_t place = 2 * row.layout->registers * kLanes;
  row.ahead = (row.ahead & -place) + ((row.ahead + kLanes) & (place - 1));
}

void run_row(Row& row, const Tiles& tiles) {
  const Window& w = row.args->shape.window;
  const int64_t size = tiles.pixels[0];
  for (int64_t ow = 0; ow < w.out_width;) {
    fetch_other_line(row);
    if (ow >= row.whole[0] && ow + size <= row.whole[1]) {
      int64_t end = ow + size;  // of as many tiles as may wait together
      const int64_t room = ow + row.most - row.queue->pixels;
      while (end + size <= room && end + size <= row.whole[1]) {
        end += size;
      }
      tiles.run_whole(row, {ow, 0, 0, enqueue(row, ow, end)}, end);
      ow = end;
      continue;
    }
    const int smaller = largest_tile(w, tiles, ow);
    const int64_t end = ow + tiles.pixels[smaller];
    int32_t* counts = enqueue(row, ow, end);
    tiles.run[smaller](row, edge_tile(row, ow, end, counts), end);
    ow = end;
  }
}

// Arguments of which rows may have become one.
struct Call : BConv2dArgs {
  int64_t map_width;
  int64_t above;  // pixels of the map above those of the call
};

// Output rows begin to end - 1, whose planes begin with row `top` of the map, against one block.
void run_block(const Call& args, const Layout& l, const Planes& planes, const Tiles& tiles, int64_t top, int64_t begin,
               int64_t end, int64_t block) {
  const Window& w = args.shape.window;
  const uint32_t* weight = static_cast<const uint32_t*>(args.packed) + block * l.block_words;
  Queue queue;
  queue.pixels = 0;
  queue.first = block * l.registers * kLanes;
  queue.width = args.map_width;
  queue.above = args.above;
  for (int64_t n = 0; n < l.registers; ++n) {
    queue.lanes[n] = make_lanes(args, queue.first + n * kLanes);
  }
  Row row = {};
  row.kh = {-1, -1};
  row.queue = &queue;
  row.whole[0] = (w.padding_w + w.stride_w - 1) / w.stride_w;
  const int64_t room = w.width + w.padding_w - w.kernel_w;
  row.whole[1] = room < 0 ? 0 : room / w.stride_w + 1;
  row.whole[1] = row.whole[1] < w.out_width ? row.whole[1] : w.out_width;
  row.most = args.shape.outputs % 1024 == 0 ? kFewPixels : kCounts / l.registers;
  row.finish_queue = l.registers == 4 ? finish_queue_for<4>(args) : finish_queue_for<2>(args);
  row.args = &args;
  row.layout = &l;
  row.ahead = block + 1 < l.blocks ? l.block_words : 0;
  row.words = planes.words;
  row.pixel_step = l.pixel_step * w.stride_w;
  for (int64_t oh = begin; oh < end; ++oh) {
    const Taps kh = inside_rows(w, oh);
    const bool all = l.neighbours || kh.end - kh.begin == w.kernel_h;
    const int64_t skipped = all ? 0 : kh.begin * l.pixel_words;
    row.at = (oh * w.stride_h - w.padding_h - top) * l.width * l.pixel_step;
    row.at -= l.neighbours ? 0 : w.padding_w * l.pixel_step;
    row.places = planes.places + skipped;
    row.weight = weight + skipped * l.registers * 2 * kLanes;
    row.runs = all ? 1 : l.columns;
    row.run_words = all ? l.columns * l.column_words : (kh.end - kh.begin) * l.pixel_words;
    row.tap_channels = static_cast<int32_t>((l.neighbours ? w.kernel_h : kh.end - kh.begin) * args.shape.channels);
    if (kh.begin != row.kh.begin || kh.end != row.kh.end) {
      finish_waiting(row);
      row.kh = kh;
      for (Constants& c : queue.constants) {
        c.kw = {-1, -1};
      }
      make_constants(row, {0, w.kernel_w}, queue.constants[1]);
    }
    row.pixel = oh * w.out_width;
    row.boxes = planes.boxes + (oh - begin) * w.out_width;
    row.odd = planes.odd + (oh - begin) * w.out_width;
    run_row(row, tiles);
  }
  finish_waiting(row);
}

void run_rows(const Call& args, int64_t begin, int64_t end) {
  const Layout l = layout_of(args.shape);
  const Planes planes = planes_of(args.shape, l, args.scratch);
  const Tiles tiles = tiles_of(args.shape, l);
  list_places(l, planes);
  for (int64_t oh = begin; oh < end; oh += planes.out_rows) {
    const int64_t last = oh + planes.out_rows < end ? oh + planes.out_rows : end;
    const int64_t top = make_planes(args, l, planes, oh, last);
    halve_boxes(planes, (last - oh) * args.shape.window.out_width);
    for (int64_t block = 0; block < l.blocks; ++block) {
      run_block(args, l, planes, tiles, top, oh, last, block);
    }
  }
}

// Rows begin to end - 1 of a flat map as one.
void run_one_row(const BConv2dArgs& args, int64_t begin, int64_t end) {
  const BConv2dShape& s = args.shape;
  const int64_t first = begin * s.window.width;
  Call row = {args, s.window.out_width, first};
  row.shape = as_one_row(s, end - begin);
  row.in += first * ((s.channels + 63) / 64);
  row.shortcut = args.shortcut != nullptr ? args.shortcut + first * args.shortcut_channels : nullptr;
  row.out_real = args.out_real != nullptr ? args.out_real + first * s.outputs : nullptr;
  row.out_bits = args.out_bits != nullptr ? args.out_bits + first * ((s.outputs + 63) / 64) : nullptr;
  run_rows(row, 0, 1);
}

void run(const BConv2dArgs& args, int64_t begin, int64_t end) {
  if (!is_flat(args.shape.window)) {
    run_rows({args, args.shape.window.out_width, 0}, begin, end);
    return;
  }
  const int64_t rows = planes_of(args.shape, layout_of(args.shape), args.scratch).out_rows;
  for (int64_t oh = begin; oh < end; oh += rows) {
    run_one_row(args, oh, oh + rows < end ? oh + rows : end);
  }
}

}  // namespace

constexpr BConv2dKernel bconv2d_x86_avx512vpopcntdq = {
    "bconv2d_x86_avx512vpopcntdq", Isa::kAvx512, supports, packed_bytes, pack, scratch_bytes, run, true};

}  // namespace reactnet
