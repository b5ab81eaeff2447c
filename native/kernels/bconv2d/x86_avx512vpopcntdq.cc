// AVX-512 has a vector popcount, and one popcount is enough for two words. With d1 = a1 ^ w1, d2 = a2 ^ w2, p = a1 ^ a2
// and q = w1 ^ w2, the words d1, ~p and q are the inputs of a full adder whose sum is ~d2, so
//   popcnt(d1) + popcnt(d2) = popcnt(p) - popcnt(q) + 2 popcnt(maj(d1, ~p, q)).
// popcnt(q) is a constant of the output and popcnt(p) one of the pixel. What is left for 1,024 products is four
// instructions: vpxord, vpternlogd, vpopcntd, vpaddd. A register holds 32 channels of sixteen outputs, and the half
// words of a pixel are broadcast against it: no sum across lanes, no narrowing.
#include "bconv2d/x86_avx512_epilogue.h"
#include "bconv2d/x86_avx512_layout.h"
#include "bconv2d/x86_avx512_planes.h"
#include "bconv2d/x86_avx512_tile.h"

namespace reactnet {
namespace {

constexpr int64_t kMaxProducts = 1 << 21;  // of an output: then all sums on the way to acc are exact in f32

bool supports(const BConv2dShape& s) {
  return s.groups == 1 && s.channels * s.window.kernel_h * s.window.kernel_w <= kMaxProducts;
}

// The constants of the block for the columns inside.
void make_constants(const Row& row, Taps kw, Constants& c) {
  c.kw = kw;
  const Layout& l = *row.layout;
  const Taps kh = row.kh;
  const int64_t kernel_w = row.args->shape.window.kernel_w;
  const int32_t* constant = constants_of(row.args->packed, l) + row.block->first;
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

// The constants of pixel `ow`; those that lack columns are kept as long as they stay the same.
const float* constants_at(const Row& row, int64_t ow) {
  Constants* all = row.block->constants;
  if (ow >= row.whole[0] && ow < row.whole[1]) {
    return all[1].acc;
  }
  const Taps kw = inside_columns(row.args->shape.window, ow);
  Constants& c = all[kw.begin > 0 ? 0 : 2];
  if (c.kw.begin != kw.begin || c.kw.end != kw.end) {
    make_constants(row, kw, c);
  }
  return c.acc;
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
Tile edge_tile(const Row& row, int64_t ow, int64_t end) {
  const float* first = constants_at(row, ow);
  const float* last = constants_at(row, end - 1);
  const int64_t words = row.runs * row.run_words;
  if (row.layout->neighbours) {
    return {ow, 0, words, {first, row.block->constants[1].acc, last}};
  }
  const Window& w = row.args->shape.window;
  const int64_t column = words / w.kernel_w;
  const int64_t before = inside_columns(w, ow).begin * column;
  return {ow, before, inside_columns(w, end - 1).end * column, {first, row.block->constants[1].acc, last}};
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
      const int64_t end = ow + (row.whole[1] - ow) / size * size;
      const float* acc = row.block->constants[1].acc;
      tiles.run_whole(row, {ow, 0, 0, {acc, acc, acc}}, end);
      ow = end;
      continue;
    }
    const int smaller = largest_tile(w, tiles, ow);
    const int64_t end = ow + tiles.pixels[smaller];
    tiles.run[smaller](row, edge_tile(row, ow, end), end);
    ow = end;
  }
}

// Output rows begin to end - 1, whose planes begin with row `top` of the map, against one block.
void run_block(const Call& args, const Layout& l, const Planes& planes, const Tiles& tiles, int64_t top, int64_t begin,
               int64_t end, int64_t block) {
  const Window& w = args.shape.window;
  const uint32_t* weight = static_cast<const uint32_t*>(args.packed) + block * l.block_words;
  Block b;
  start_block(args, l, block * l.registers * kLanes, b);
  if (args.out_pooled != nullptr) {
    start_means(args, begin * w.out_width, b.first, b.mean);
  }
  Row row = {};
  row.kh = {-1, -1};
  row.block = &b;
  row.whole[0] = (w.padding_w + w.stride_w - 1) / w.stride_w;
  const int64_t room = w.width + w.padding_w - w.kernel_w;
  row.whole[1] = room < 0 ? 0 : room / w.stride_w + 1;
  row.whole[1] = row.whole[1] < w.out_width ? row.whole[1] : w.out_width;
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
      row.kh = kh;
      for (Constants& c : b.constants) {
        c.kw = {-1, -1};
      }
      make_constants(row, {0, w.kernel_w}, b.constants[1]);
    }
    row.pixel = oh * w.out_width;
    row.boxes = planes.boxes + (oh - begin) * w.out_width;
    row.odd = planes.odd + (oh - begin) * w.out_width;
    run_row(row, tiles);
  }
}

void run_rows(const Call& args, int64_t begin, int64_t end) {
  const Layout l = layout_of(args.shape);
  const Planes planes = planes_of(args.shape, l, args.scratch);
  const Tiles tiles = tiles_of(args.shape, l, args.out_pooled != nullptr);
  list_places(l, planes);
  for (int64_t oh = begin; oh < end; oh += planes.out_rows) {
    const int64_t last = oh + planes.out_rows < end ? oh + planes.out_rows : end;
    const int64_t top = make_planes(args, l, planes, oh, last);
    halve_boxes(l, planes, (last - oh) * args.shape.window.out_width);
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
