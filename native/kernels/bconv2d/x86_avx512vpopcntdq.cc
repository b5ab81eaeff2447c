// AVX-512 has a vector popcount, and one popcount is enough for two words. With d1 = a1 ^ w1, d2 = a2 ^ w2, p = a1 ^ a2
// and q = w1 ^ w2, the words d1, ~p and q are the inputs of a full adder whose sum is ~d2, so
//   popcnt(d1) + popcnt(d2) = popcnt(p) - popcnt(q) + 2 popcnt(maj(d1, ~p, q)).
// popcnt(q) is a constant of the output and popcnt(p) one of the pixel. What is left for 1,024 products is four
// instructions: vpxord, vpternlogd, vpopcntd, vpaddd. A register holds 32 channels of sixteen outputs, and the half
// words of a pixel are broadcast against it: no sum across lanes, no narrowing.
#include "bconv2d/x86_avx512_cuts.h"
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
  for (int64_t i = 0; i < outputs; i += kLanes) {
    const auto at = [i](const int32_t* numbers) { return _mm512_loadu_si512(numbers + i); };
    const __m512i above = _mm512_sub_epi32(at(corners[0]), at(corners[1]));
    const __m512i below = _mm512_sub_epi32(at(corners[3]), at(corners[2]));
    const __m512i rest = _mm512_add_epi32(_mm512_set1_epi32(products), at(constant));
    const __m512i acc = _mm512_add_epi32(rest, _mm512_add_epi32(above, below));
    _mm512_store_ps(c.acc + i, _mm512_cvtepi32_ps(acc));
    _mm512_store_ps(c.acc + outputs + i, _mm512_cvtepi32_ps(_mm512_sub_epi32(acc, _mm512_set1_epi32(2))));
  }
}

// Those for pixels that lack columns are kept as long as they stay the same.
void keep_constants(const Row& row, Taps kw, Constants& c) {
  if (c.kw.begin != kw.begin || c.kw.end != kw.end) {
    make_constants(row, kw, c);
  }
}

// Another line of each place of the next block: as many calls as a place has lines, and all of it is fetched.
void fetch_other_line(Row& row) {
  const int64_t place = 2 * row.layout->registers * kLanes;
  row.ahead = (row.ahead & -place) + ((row.ahead + kLanes) & (place - 1));
}

void run_row(Row& row, const Cuts& cuts) {
  for (const Cut* cut = cuts.cut; cut != cuts.cut + cuts.count; ++cut) {
    fetch_other_line(row);
    keep_constants(row, cut->first, row.block->constants[cut->constants[0]]);
    keep_constants(row, cut->last, row.block->constants[cut->constants[1]]);
    cut->run(row, *cut);
  }
}

// Output rows begin to end - 1, whose planes begin with row `top` of the map, against one block.
void run_block(const Call& args, const Layout& l, const Planes& planes, const Cuts& cuts, int64_t top, int64_t begin,
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
    row.column_places = all ? l.column_words : (kh.end - kh.begin) * l.pixel_words;
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
    run_row(row, cuts);
  }
}

Cut* cuts_behind(const Planes& planes, void* scratch) {
  return reinterpret_cast<Cut*>(static_cast<char*>(scratch) + (planes.bytes + 7) / 8 * 8);
}

uint64_t scratch_bytes(const BConv2dShape& s) {
  const auto bytes = [](const BConv2dShape& shape, const Planes& p) {
    return (p.bytes + 7) / 8 * 8 + static_cast<uint64_t>(most_cuts(shape.window)) * sizeof(Cut);
  };
  const Planes planes = planes_of(s, layout_of(s), nullptr);
  if (!is_flat(s.window)) {
    return bytes(s, planes);
  }
  const BConv2dShape row = as_one_row(s, planes.out_rows);
  return bytes(row, planes_of(row, layout_of(row), nullptr));
}

// Whether counts become reals, and nothing else.
bool wants_counts(const BConv2dArgs& args) {
  return args.out_real != nullptr && args.scale == nullptr && args.shortcut == nullptr && args.slope == nullptr &&
         args.shift_out == nullptr && args.out_bits == nullptr;
}

void run_rows(const Call& args, int64_t begin, int64_t end) {
  const Layout l = layout_of(args.shape);
  const Planes planes = planes_of(args.shape, l, args.scratch);
  const Tiles tiles = tiles_of(args.shape, l, args.out_pooled != nullptr, wants_counts(args));
  const Cuts cuts = cut_rows(args.shape.window, l, tiles, cuts_behind(planes, args.scratch));
  list_places(l, planes);
  for (int64_t oh = begin; oh < end; oh += planes.out_rows) {
    const int64_t last = oh + planes.out_rows < end ? oh + planes.out_rows : end;
    const int64_t top = make_planes(args, l, planes, oh, last);
    for (int64_t block = 0; block < l.blocks; ++block) {
      run_block(args, l, planes, cuts, top, oh, last, block);
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
