// How rows are cut into tiles. All rows of a call and all blocks of outputs are cut alike, so it is found once a call:
// what is asked between two tiles, a core does not hide behind their counting. Part of x86_avx512vpopcntdq.cc alone,
// built with its flags.
#ifndef REACTNET_KERNELS_BCONV2D_X86_AVX512_CUTS_H_
#define REACTNET_KERNELS_BCONV2D_X86_AVX512_CUTS_H_

#include "bconv2d/x86_avx512_tile.h"

namespace reactnet {
namespace {

struct Cuts {
  Cut* cut;
  int64_t count;
};

// Pixels whose windows have all columns inside.
Taps whole_windows(const Window& w) {
  const int64_t begin = (w.padding_w + w.stride_w - 1) / w.stride_w;
  const int64_t room = w.width + w.padding_w - w.kernel_w;
  const int64_t end = room < 0 ? 0 : room / w.stride_w + 1;
  return {begin, end < w.out_width ? end : w.out_width};
}

// Cuts of a row at most: of whole windows one has all tiles, and what is left is less than a tile.
int64_t most_cuts(const Window& w) {
  const Taps whole = whole_windows(w);
  const int64_t cuts = whole.begin + kMostPixels + w.out_width - whole.end;
  return cuts < w.out_width ? cuts : w.out_width;
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

Cut cut_at(const Window& w, const Layout& l, const Tiles& tiles, int64_t ow) {
  const Taps whole = whole_windows(w);
  const int64_t size = tiles.pixels[0];
  if (ow >= whole.begin && ow + size <= whole.end) {
    const int64_t end = ow + (whole.end - ow) / size * size;
    return {tiles.run_whole, ow, end, 0, l.columns, {0, w.kernel_w}, {0, w.kernel_w}, {1, 1}};
  }
  const int smaller = largest_tile(w, tiles, ow);
  const int64_t end = ow + tiles.pixels[smaller];
  const Taps first = inside_columns(w, ow);
  const Taps last = inside_columns(w, end - 1);
  const auto constants = [&](Taps kw) { return kw.begin > 0 ? 0 : kw.end == w.kernel_w ? 1 : 2; };
  const bool border = l.neighbours;  // of zeros, which count
  return {tiles.run[smaller],
          ow,
          end,
          border ? 0 : first.begin,
          border ? l.columns : last.end,
          first,
          last,
          {constants(first), constants(last)}};
}

Cuts cut_rows(const Window& w, const Layout& l, const Tiles& tiles, Cut* cut) {
  int64_t count = 0;
  for (int64_t ow = 0; ow < w.out_width; ow = cut[count++].end) {
    cut[count] = cut_at(w, l, tiles, ow);
  }
  return {cut, count};
}

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_BCONV2D_X86_AVX512_CUTS_H_
