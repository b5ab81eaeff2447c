// What is counted: tiles of a row. Part of x86_avx512vpopcntdq.cc alone, built with its flags.
//
// A tile is kPixels pixels of a row against kRegisters registers of outputs, its sums stay in registers. A window is a
// list of places, counted in one loop. Taps outside of the map are skipped: whole rows of the window, and of the first
// and last pixel of a tile the columns.
#ifndef REACTNET_KERNELS_BCONV2D_X86_AVX512_TILE_H_
#define REACTNET_KERNELS_BCONV2D_X86_AVX512_TILE_H_

#include "bconv2d/x86_avx512_epilogue.h"
#include "bconv2d/x86_avx512_planes.h"

namespace reactnet {
namespace {

constexpr int kSecondOrFirst = 0xD4;  // of (d1, q, p): p == q ? d1 : q

// One row of outputs against one block.
struct Row {
  const BConv2dArgs* args;
  const Layout* layout;
  const uint32_t* words;   // the planes
  int64_t at;              // u32 from them to the window of the row's first output; negative if it begins outside
  int64_t pixel_step;      // u32 from output to output
  const Place* places;     // of the first column of the window, from the first row that is inside on
  const uint32_t* weight;  // of the first place
  int64_t column_places;   // of a column of the window
  int64_t ahead;  // u32 from weights to those of the next block: to a line of each place, which is fetched meanwhile
  Taps kh;
  int64_t pixel;         // of the call's: the row's first output
  const int32_t* boxes;  // of the row
  const int32_t* odd;
  int32_t tap_channels;  // products of a column of the window
  Block* block;
};

struct Cut;
using RunTiles = void (*)(const Row&, const Cut&);

// Pixels of a row that are counted alike: tiles that are whole, or one that may not be.
struct Cut {
  RunTiles run;
  int64_t ow, end;
  int64_t before, after;  // columns of places: [0, before) have no first pixel, those from `after` on no last one
  Taps first, last;       // columns inside of the windows of the first pixel and of the last
  int64_t constants[2];   // which of the block's these two have
};

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

// Three steps from pixel to pixel. GCC does not know that they are: else it makes the fourth address anew for each
// place, which with few pixels and many registers shows.
template <int kRegisters>
inline __attribute__((always_inline)) int64_t three_steps(int64_t step) {
  int64_t steps = 3 * step;
#ifdef __AVX512F__
  if constexpr (kRegisters > 2) {
    asm("" : "+r"(steps));
  }
#endif
  return steps;
}

// A place for pixels kFrom to kFrom + kCount - 1 of those at `in`, the tile's from kSum on. Step by step: a core does
// several of one at a time.
template <int kFrom, int kCount, int kSum, int kPixels, int kRegisters>
inline __attribute__((always_inline)) void count_pixels(const uint32_t* in, const uint32_t* in_p, int64_t step,
                                                        int64_t three, const __m512i (&w)[kRegisters],
                                                        const __m512i (&q)[kRegisters],
                                                        __m512i (&sums)[kPixels][kRegisters]) {
  const auto word = [&](const uint32_t* words, int m) __attribute__((always_inline)) {
    return _mm512_set1_epi32(static_cast<int>(words[kFrom + m == 3 ? three : (kFrom + m) * step]));
  };
  __m512i b[kCount][kRegisters];
  each<0, kCount>([&](auto m) __attribute__((always_inline)) {
    const __m512i a = held<true>(word(in, m.i));
    each<0, kRegisters>([&](auto n) __attribute__((always_inline)) { b[m.i][n.i] = _mm512_xor_si512(a, w[n.i]); });
  });
  each<0, kCount>([&](auto m) __attribute__((always_inline)) {
    const __m512i p = held<(kRegisters > 2)>(word(in_p, m.i));
    each<0, kRegisters>([&](auto n) __attribute__((always_inline)) {
      b[m.i][n.i] = _mm512_ternarylogic_epi32(b[m.i][n.i], q[n.i], p, kSecondOrFirst);
    });
  });
  each<0, kCount>([&](auto m) __attribute__((always_inline)) {
    each<0, kRegisters>([&](auto n) __attribute__((always_inline)) {
      sums[kSum + m.i][n.i] = add_to(sums[kSum + m.i][n.i], _mm512_popcnt_epi32(b[m.i][n.i]));
    });
  });
}

// `count` places for the pixels [kFirst, kLast) of a tile; `words` are the planes from the window of kFirst on.
template <int kPixels, int kRegisters, int kFirst, int kLast>
inline __attribute__((always_inline)) void count_run(const Row& row, int64_t three, const uint32_t* words,
                                                     const Place* places, const uint32_t* weight, int64_t count,
                                                     __m512i (&sums)[kPixels][kRegisters]) {
  constexpr int kGroup = kRegisters == 2 ? 2 : 1;  // pixels
  constexpr int kCount = kLast - kFirst;
  for (const Place* end = places + count; places != end; ++places, weight += 2 * kRegisters * kLanes) {
    const uint32_t* in = words + places->a;
    const uint32_t* in_p = words + places->p;
    __builtin_prefetch(weight + row.ahead, 0, 2);
    __m512i w[kRegisters];
    __m512i q[kRegisters];
    each<0, kRegisters>([&](auto n) __attribute__((always_inline)) {
      w[n.i] = held<true>(_mm512_load_si512(weight + 2 * n.i * kLanes));
      q[n.i] = held<true>(_mm512_load_si512(weight + (2 * n.i + 1) * kLanes));
    });
    each<0, kCount / kGroup>([&](auto g) __attribute__((always_inline)) {
      constexpr int from = g.i * kGroup;
      count_pixels<from, kGroup, kFirst + from>(in, in_p, row.pixel_step, three, w, q, sums);
    });
    if constexpr (kCount % kGroup != 0) {
      count_pixels<kCount - 1, 1, kLast - 1>(in, in_p, row.pixel_step, three, w, q, sums);
    }
  }
}

// The columns begin to end - 1 of the windows, of which the map's rows are inside.
template <int kPixels, int kRegisters, int kFirst, int kLast>
inline __attribute__((always_inline)) void count_columns(const Row& row, int64_t three, int64_t ow, int64_t begin,
                                                         int64_t end, __m512i (&sums)[kPixels][kRegisters]) {
  const uint32_t* words = row.words + (row.at + (ow + kFirst) * row.pixel_step);
  const int64_t column = row.layout->column_words;
  const Place* places = row.places + begin * column;
  const uint32_t* weight = row.weight + begin * column * (2 * kRegisters * kLanes);
  int64_t count = (end - begin) * row.column_places;
  const int64_t run = row.column_places == column ? count : row.column_places;
  for (; count > 0; count -= run, places += column, weight += column * (2 * kRegisters * kLanes)) {
    count_run<kPixels, kRegisters, kFirst, kLast>(row, three, words, places, weight, run, sums);
  }
}

template <int kPixels, int kRegisters>
inline __attribute__((always_inline)) void start_sums(const int32_t* boxes, __m512i (&sums)[kPixels][kRegisters]) {
  each<0, kPixels>([&](auto m) __attribute__((always_inline)) {
    const __m512i box = _mm512_set1_epi32(boxes[m.i]);
    each<0, kRegisters>([&](auto n) __attribute__((always_inline)) { sums[m.i][n.i] = box; });
  });
}

// A tile of windows that may lack columns.
template <int kPixels, int kRegisters>
void run_tile(const Row& row_at, const Cut& cut) {
  const Row row = row_at;  // a copy that no store can change
  const int64_t three = three_steps<kRegisters>(row.pixel_step);
  __m512i sums[kPixels][kRegisters];
  start_sums(row.boxes + cut.ow, sums);
  if constexpr (kPixels > 1) {
    count_columns<kPixels, kRegisters, 1, kPixels>(row, three, cut.ow, 0, cut.before, sums);
  }
  count_columns<kPixels, kRegisters, 0, kPixels>(row, three, cut.ow, cut.before, cut.after, sums);
  if constexpr (kPixels > 1) {
    count_columns<kPixels, kRegisters, 0, kPixels - 1>(row, three, cut.ow, cut.after, row.layout->columns, sums);
  }
  const Constants* all = row.block->constants;
  const PixelConstants constants = {all[cut.constants[0]].acc, all[1].acc, all[cut.constants[1]].acc};
  finish<kPixels, kRegisters>(*row.block, row.pixel + cut.ow, row.odd + cut.ow, constants, sums);
}

// Tiles of whole windows.
template <int kPixels, int kRegisters>
void run_tiles(const Row& row_at, const Cut& cut) {
  const Row row = row_at;  // a copy that no store can change
  const int64_t three = three_steps<kRegisters>(row.pixel_step);
  const int64_t column = row.layout->column_words;
  const bool all = row.column_places == column;
  const int64_t runs = all ? 1 : row.layout->columns;
  const int64_t count = all ? row.layout->columns * column : row.column_places;
  const float* acc = row.block->constants[1].acc;
  const uint32_t* words = row.words + row.at + cut.ow * row.pixel_step;
  for (int64_t ow = cut.ow; ow < cut.end; ow += kPixels, words += kPixels * row.pixel_step) {
    __m512i sums[kPixels][kRegisters];
    start_sums(row.boxes + ow, sums);
    const Place* places = row.places;
    const uint32_t* weight = row.weight;
    for (int64_t r = 0; r < runs; ++r, places += column, weight += column * (2 * kRegisters * kLanes)) {
      count_run<kPixels, kRegisters, 0, kPixels>(row, three, words, places, weight, count, sums);
    }
    finish<kPixels, kRegisters>(*row.block, row.pixel + ow, row.odd + ow, {acc, acc, acc}, sums);
  }
}

constexpr int64_t kMostPixels = 8;

// Tiles of a row, largest first, the last of one pixel; and the largest where windows have all columns.
struct Tiles {
  int64_t pixels[3];
  RunTiles run[3];
  RunTiles run_whole;
};

template <int kPixels, int kFewer, int kRegisters>
Tiles tiles_of_pixels() {
  return {{kPixels, kFewer, 1},
          {run_tile<kPixels, kRegisters>, run_tile<kFewer, kRegisters>, run_tile<1, kRegisters>},
          run_tiles<kPixels, kRegisters>};
}

// Windows of one place whose counts are wanted as they are: a pixel at a time against weights in registers, so that the
// stores, which take longer than the counting, are spread evenly.
template <int kRegisters>
void run_counts(const Row& row_at, const Cut& cut) {
  const Row row = row_at;  // a copy that no store can change
  const Block& b = *row.block;
  const int64_t outputs = b.args.shape.outputs;
  const float* acc = b.constants[1].acc;
  const uint32_t* words = row.words + row.at + cut.ow * row.pixel_step;
  float* out = b.args.out_real + (row.pixel + cut.ow) * outputs + b.first;
  __m512i w[kRegisters];
  __m512i q[kRegisters];
  each<0, kRegisters>([&](auto n) __attribute__((always_inline)) {
    w[n.i] = held<true>(_mm512_load_si512(row.weight + 2 * n.i * kLanes));
    q[n.i] = held<true>(_mm512_load_si512(row.weight + (2 * n.i + 1) * kLanes));
  });
  for (int64_t ow = cut.ow; ow < cut.end; ++ow, words += row.pixel_step, out += outputs) {
    const __m512i a = held<true>(_mm512_set1_epi32(static_cast<int>(words[0])));
    const __m512i p = held<true>(_mm512_set1_epi32(static_cast<int>(words[1])));
    const __m512i box = _mm512_set1_epi32(row.boxes[ow]);
    const float* constants = acc + row.odd[ow];
    each<0, kRegisters>([&](auto n) __attribute__((always_inline)) {
      const __m512i d = _mm512_xor_si512(a, w[n.i]);
      const __m512i ones = _mm512_popcnt_epi32(_mm512_ternarylogic_epi32(d, q[n.i], p, kSecondOrFirst));
      const __m512 count = _mm512_cvtepi32_ps(_mm512_add_epi32(box, ones));
      const __m512 y = _mm512_fnmadd_ps(_mm512_set1_ps(4.0f), count, _mm512_load_ps(constants + n.i * kLanes));
      _mm512_storeu_ps(out + n.i * kLanes, y);
    });
  }
}

// Means take two pixels at a time.
Tiles tiles_of(const BConv2dShape& s, const Layout& l, bool means, bool counts) {
  if (l.registers == 4) {
    Tiles tiles = tiles_of_pixels<4, 2, 4>();
    tiles.run_whole = counts && is_flat(s.window) && l.column_words == 1 ? run_counts<4> : tiles.run_whole;
    return tiles;
  }
  if (means) {
    return tiles_of_pixels<8, 2, 2>();
  }
  return s.window.out_width % 7 == 0 ? tiles_of_pixels<7, 3, 2>() : tiles_of_pixels<8, 3, 2>();
}

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_BCONV2D_X86_AVX512_TILE_H_
