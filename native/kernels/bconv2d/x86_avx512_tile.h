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
  const Place* places;     // of the rows of the window that are inside: `runs` of `run_words`, a column or the whole
  const uint32_t* weight;  // of the first place
  int64_t runs, run_words;
  int64_t ahead;  // u32 from weights to those of the next block: to a line of each place, which is fetched meanwhile
  Taps kh;
  int64_t pixel;         // of the call's: the row's first output
  const int32_t* boxes;  // of the row
  const int32_t* odd;
  int32_t tap_channels;  // products of a column of the window
  int64_t whole[2];      // pixels from the first to before the second have all columns of the window inside
  Block* block;
};

// A tile of it. Of the places of the row's runs, [0, before) have no first pixel, [before, after) all, and those from
// `after` on no last one.
struct Tile {
  int64_t ow;
  int64_t before, after;
  PixelConstants constants;
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
  finish<kPixels, kRegisters>(*row.block, row.pixel + tile.ow, row.odd + tile.ow, tile.constants, sums);
}

// Tiles that are whole, from `tile` to `end`; or one that may not be.
template <int kPixels, int kRegisters, bool kWhole>
void run_tiles(const Row& row_at, const Tile& tile, int64_t end) {
  const Row row = row_at;  // a copy that no store can change
  if constexpr (kWhole) {
    for (int64_t ow = tile.ow; ow < end; ow += kPixels) {
      run_tile<kPixels, kRegisters, true>(row, {ow, 0, 0, tile.constants});
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

// Means take two pixels at a time.
Tiles tiles_of(const BConv2dShape& s, const Layout& l, bool means) {
  if (l.registers == 4) {
    return tiles_of_pixels<4, 2, 4>();
  }
  if (means) {
    return tiles_of_pixels<8, 2, 2>();
  }
  return s.window.out_width % 7 == 0 ? tiles_of_pixels<7, 3, 2>() : tiles_of_pixels<8, 3, 2>();
}

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_BCONV2D_X86_AVX512_TILE_H_
