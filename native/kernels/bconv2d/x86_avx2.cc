// AVX2 has no vector popcount; a shuffle is a table of sixteen entries. A byte holds four bits of one output's weights:
// 32 outputs are a register of indices, and the table belongs to four channels of TWO pixels a and b:
//   entry i = half(a, i) + 16 * half(b, i),   half(a, i) = (popcount(a ^ i) - a's ones % 2 + i's ones % 2) / 2
// so a look-up counts 4 bits x 2 pixels x 32 outputs. half is a whole number, for popcount(a ^ i) is odd where one of
// the two is odd alone, and at most 2, for all four bits differ only where both or neither are odd. So differing bits
// are twice the sum of halves, and the odd nibbles of the pixel's window (one number for all outputs) less those of the
// output's weights (one for all pixels). Six look-ups (<= 12 a nibble) add up to v, and two byte sums follow it:
//   all = sum v                 = [A0 + 16 B0, A1 + 16 B1]   (a pair of neighbouring bytes, modulo 256 each)
//   mix = sum (v as u16) >> 4   = [B0 + 16 A1, B1]
// From the bytes B1, then A1, B0 and A0 come back exactly as long as none exceeds 255: after 126 look-ups, 252.
//
// A pair is two neighbouring outputs of a row. Its tables are chosen by indices that are made once for each column of
// the map and serve every tap and every output. Weights are taken in pieces of up to 126 nibbles x 128 outputs, which
// stay in the L1 cache while a strip of pairs passes; the strip's sums lie in memory between two pieces.
//
// Packed weights: groups of up to four blocks of 32 outputs x kh x row x blocks x 32 bytes, where a row is the nibbles
// of kw x channels, in units of 32 channels (nibbles 0 2 4 6 1 3 5 7).
#include "bconv2d/x86_avx2_epilogue.h"
#include "bconv2d/x86_avx2_layout.h"
#include "bconv2d/x86_avx2_rows.h"

namespace reactnet {
namespace {

constexpr int64_t kFlush = 126;   // nibbles between two flushes
constexpr int64_t kTogether = 6;  // look-ups whose sum a nibble holds

__m256i table_at(uint16_t entry) {
  return _mm256_broadcastsi128_si256(*reinterpret_cast<const __m128i*>(&kTables.entry[0][0] + entry));
}

__m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

// A piece of the weights: some nibbles of the window that follow each other, from one row into the next.
struct Piece {
  const uint8_t* weight;
  int64_t kh, nibble;  // where it begins
  int64_t nibbles;
  int64_t row_nibbles;
  int64_t index_step;  // indices from row to row
};

inline void flush(Counts& s, bool first, __m256i all, __m256i mix) {
  const __m256i low = _mm256_set1_epi16(255);
  const __m256i b1 = _mm256_srli_epi16(mix, 8);
  const __m256i a1 = _mm256_and_si256(_mm256_sub_epi16(_mm256_srli_epi16(all, 8), _mm256_slli_epi16(b1, 4)), low);
  const __m256i b0 = _mm256_and_si256(_mm256_sub_epi16(mix, _mm256_slli_epi16(a1, 4)), low);
  const __m256i a0 = _mm256_and_si256(_mm256_sub_epi16(all, _mm256_slli_epi16(b0, 4)), low);
  if (first) {
    s = {{a0, a1}, {b0, b1}};
  } else {
    s = {{_mm256_add_epi16(s.a[0], a0), _mm256_add_epi16(s.a[1], a1)},
         {_mm256_add_epi16(s.b[0], b0), _mm256_add_epi16(s.b[1], b1)}};
  }
}

// What is counted at a time: four blocks of one pair, two of two or one of four.
struct Four {
  __m256i a, b, c, d;
};

inline Four add_bytes(const Four& x, const Four& y) {
  return {_mm256_add_epi8(x.a, y.a), _mm256_add_epi8(x.b, y.b), _mm256_add_epi8(x.c, y.c), _mm256_add_epi8(x.d, y.d)};
}

inline Four high_nibbles(const Four& x) {
  return {_mm256_srli_epi16(x.a, 4), _mm256_srli_epi16(x.b, 4), _mm256_srli_epi16(x.c, 4), _mm256_srli_epi16(x.d, 4)};
}

// One look-up for 32 outputs of two pixels: the first of a sum, or added to it. Sums stay where they are: from
// intrinsics GCC 12 makes copies that do not fit into sixteen registers.
template <bool kFirst>
inline void look_up(__m256i& sum, __m256i table, const void* weight) {
  if constexpr (kFirst) {
    sum = _mm256_shuffle_epi8(table, load(weight));
  } else {
    __m256i counts;
    __asm__("vpshufb %3, %2, %1\n\tvpaddb %1, %0, %0"
            : "+x"(sum), "=x"(counts)
            : "x"(table), "m"(*static_cast<const __m256i_u*>(weight)));
  }
}

template <bool kFirst>
inline void look_up(__m256i& sum, __m256i table, __m256i weight) {
  if constexpr (kFirst) {
    sum = _mm256_shuffle_epi8(table, weight);
  } else {
    __m256i counts;
    __asm__("vpshufb %3, %2, %1\n\tvpaddb %1, %0, %0" : "+x"(sum), "=x"(counts) : "x"(table), "x"(weight));
  }
}

// One nibble: `in` are the indices of each pair.
template <int kBlocks, bool kFirst>
inline void look_up_nibble(Four& v, const uint16_t* const (&in)[4], int64_t t, const uint8_t* w) {
  const __m256i table = table_at(in[0][t]);
  if constexpr (kBlocks == 4) {
    look_up<kFirst>(v.a, table, w);
    look_up<kFirst>(v.b, table, w + kBlock);
    look_up<kFirst>(v.c, table, w + 2 * kBlock);
    look_up<kFirst>(v.d, table, w + 3 * kBlock);
  } else if constexpr (kBlocks == 2) {
    const __m256i second = table_at(in[1][t]);
    const __m256i lower = load(w);
    look_up<kFirst>(v.a, table, lower);
    look_up<kFirst>(v.c, second, lower);
    const __m256i upper = load(w + kBlock);
    look_up<kFirst>(v.b, table, upper);
    look_up<kFirst>(v.d, second, upper);
  } else {
    const __m256i weight = load(w);
    look_up<kFirst>(v.a, table, weight);
    look_up<kFirst>(v.b, table_at(in[1][t]), weight);
    look_up<kFirst>(v.c, table_at(in[2][t]), weight);
    look_up<kFirst>(v.d, table_at(in[3][t]), weight);
  }
}

// A few nibbles from nibble t on, whose sums a nibble holds.
template <int kBlocks, int kNibbles>
inline void look_up_some(Four& all, Four& mix, const uint16_t* const (&in)[4], int64_t t, const uint8_t* w) {
  Four v;
  look_up_nibble<kBlocks, true>(v, in, t, w);
#pragma GCC unroll 6
  for (int i = 1; i < kNibbles; ++i) {
    look_up_nibble<kBlocks, false>(v, in, t + i, w + i * kBlocks * kBlock);
  }
  all = add_bytes(all, v);
  mix = add_bytes(mix, high_nibbles(v));
}

// One piece of the weights with as many pairs of pixels as make four sums.
template <int kBlocks>
void count_piece(const Piece& piece, const uint16_t* const* pairs, bool first, Counts* sums) {
  const __m256i zero = _mm256_setzero_si256();
  Four all = {zero, zero, zero, zero};
  Four mix = all;
  const int64_t begin = piece.kh * piece.index_step;
  const uint16_t* in[4] = {pairs[0] + begin, nullptr, nullptr, nullptr};
  for (int m = 1; m < 4 / kBlocks; ++m) {
    in[m] = pairs[m] + begin;
  }
  const uint8_t* w = piece.weight;
  int64_t t = piece.nibble;
  for (int64_t left = piece.nibbles; left > 0; t = 0) {
    const int64_t end = t + left < piece.row_nibbles ? t + left : piece.row_nibbles;
    left -= end - t;
    for (; t + kTogether <= end; t += kTogether, w += kTogether * kBlocks * kBlock) {
      look_up_some<kBlocks, kTogether>(all, mix, in, t, w);
    }
    if (end - t == 4) {
      look_up_some<kBlocks, 4>(all, mix, in, t, w);
    } else if (end - t == 2) {
      look_up_some<kBlocks, 2>(all, mix, in, t, w);
    }
    w += (end - t) * kBlocks * kBlock;
    for (int m = 0; m < 4 / kBlocks; ++m) {
      in[m] += piece.index_step;
    }
  }
  flush(sums[0], first, all.a, mix.a);
  flush(sums[1], first, all.b, mix.b);
  flush(sums[2], first, all.c, mix.c);
  flush(sums[3], first, all.d, mix.d);
}

// A strip has room for the pairs that fill the last four sums up. Meanwhile the next piece, which lies behind this one,
// comes nearer if it is `ahead`.
template <int kBlocks>
void count_strip(const Piece& piece, const Strip& strip, bool first, bool ahead, Counts* sums) {
  const int64_t bytes = piece.nibbles * kBlocks * kBlock;
  const int64_t share = ahead ? bytes / strip.count * (4 / kBlocks) : 0;
  const char* next = reinterpret_cast<const char*>(piece.weight) + bytes;
  for (int64_t i = 0; i < strip.count; i += 4 / kBlocks, next += share) {
    for (int64_t at = 0; at < share; at += 64) {
      _mm_prefetch(next + at, _MM_HINT_T0);
    }
    count_piece<kBlocks>(piece, strip.indices + i, first, sums + i * kBlocks);
  }
}

// All pieces of a group's weights.
void count_group(const BConv2dArgs& args, const Layout& l, Strip& strip, int64_t block, Counts* sums) {
  const int64_t blocks = group_size(l, block);
  const auto count = blocks == 4 ? count_strip<4> : blocks == 2 ? count_strip<2> : count_strip<1>;
  for (int64_t i = strip.count; i % 4 != 0; ++i) {
    strip.indices[i] = strip.indices[0];
  }
  const int64_t begin = strip.kh.begin * l.row_nibbles;
  const int64_t end = strip.kh.end * l.row_nibbles;
  const int64_t pieces = (end - begin + kFlush - 1) / kFlush;
  const int64_t most = pieces == 0 ? 0 : (end - begin + pieces * kTogether - 1) / (pieces * kTogether) * kTogether;
  // In a network weights wait in the third cache, which is felt where few strips take them.
  const bool ahead = l.pairs * args.shape.window.out_height <= 8 * kStrip;
  const uint8_t* weight = static_cast<const uint8_t*>(args.packed) + block * l.block_bytes;
  for (int64_t at = begin; at < end; at += most) {
    const Piece piece = {weight + at * blocks * kBlock,     at / l.row_nibbles, at % l.row_nibbles,
                         end - at < most ? end - at : most, l.row_nibbles,      l.columns * l.nibbles};
    count(piece, strip, at == begin, ahead, sums);
  }
  if (pieces == 0) {
    memset(sums, 0, static_cast<size_t>(strip.count * blocks) * sizeof(Counts));
  }
}

// The sum that each output of a group has if nothing is counted, for some columns of the window inside the map; as
// to_floats takes it.
struct Constants {
  Taps kw;
  uint16_t sum[kGroup * kBlock];
};

constexpr int64_t kSlots = 8;

// Those in use, all for the same rows of the window.
struct ConstantsCache {
  Taps kh;
  int64_t count;
  const uint16_t* whole;  // of windows whose columns are all inside, or null
  Constants slots[kSlots];

  void clear() {
    count = 0;
    whole = nullptr;
  }
};

void add_twice(uint16_t* sums, const uint16_t* numbers, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    sums[i] = static_cast<uint16_t>(sums[i] + 2 * numbers[i]);
  }
}

// Taps left and right of the map stand as zeros in the indices: their ones have been counted.
void fill_constants(const BConv2dArgs& args, const Layout& l, int64_t block, Taps kh, Constants& c) {
  const int64_t kernel_w = args.shape.window.kernel_w;
  const int64_t lanes = group_size(l, block) * kBlock;
  const int64_t inside = (kh.end - kh.begin) * (c.kw.end - c.kw.begin) * args.shape.channels;
  for (int64_t i = 0; i < lanes; ++i) {
    c.sum[i] = static_cast<uint16_t>(inside + (i % 2 == 0 ? 1 << 15 : 0));
  }
  for (int64_t row = kh.begin; row < kh.end; ++row) {
    const uint16_t* odds = odds_of(args.packed, l, args.shape.window) + (row * l.blocks + block) * kBlock;
    add_twice(c.sum, odds, lanes);
    for (int64_t column = 0; column < kernel_w; ++column) {
      if (column < c.kw.begin || column >= c.kw.end) {
        const uint16_t* ones = ones_of(args.packed, l) + ((row * kernel_w + column) * l.blocks + block) * kBlock;
        add_twice(c.sum, ones, lanes);
      }
    }
  }
}

// The cache has room for one more.
const uint16_t* constants_for(const BConv2dArgs& args, const Layout& l, int64_t block, int64_t ow,
                              ConstantsCache& cache) {
  const Window& w = args.shape.window;
  const int64_t left = ow * w.stride_w - w.padding_w;
  const bool whole = args.shape.padding_value != 0 || ow >= w.out_width || (left >= 0 && left + w.kernel_w <= w.width);
  if (whole && cache.whole != nullptr) {
    return cache.whole;
  }
  const Taps kw = whole ? Taps{0, w.kernel_w} : inside_columns(w, ow);
  for (int64_t i = 0; i < cache.count; ++i) {
    if (cache.slots[i].kw.begin == kw.begin && cache.slots[i].kw.end == kw.end) {
      return cache.slots[i].sum;
    }
  }
  Constants& c = cache.slots[cache.count++];
  c.kw = kw;
  fill_constants(args, l, block, cache.kh, c);
  cache.whole = whole ? c.sum : cache.whole;
  return c.sum;
}

// What the strips of a group have in common.
struct Group {
  int64_t block, blocks;
  Counts* sums;
  Ends ends[2 * kGroup];  // of sixteen outputs each
  int64_t sixteens;
};

// Behind the last output bits are zero, as far as its block goes.
void start_group(const BConv2dArgs& args, const Layout& l, int64_t block, Group& group) {
  group.block = block;
  group.blocks = group_size(l, block);
  group.sums = static_cast<Counts*>(scratch_at(args.scratch, l).sums);
  group.sixteens = 0;
  for (int64_t first = block * kBlock; first < (block + group.blocks) * kBlock; first += 16) {
    if (first < args.shape.outputs || args.out_bits != nullptr) {
      group.ends[group.sixteens++] = ends_of(args, first, first - block * kBlock);
    }
  }
}

void finish_strip(const BConv2dArgs& args, const Layout& l, const Strip& strip, const Group& group) {
  const int64_t most = far_apart(args.shape) ? kFewPairs : kStrip;
  for (int64_t i = 0; i < strip.count; i += most) {
    const Portion portion = {strip, i, i + most < strip.count ? i + most : strip.count, group.sums, group.blocks};
    for (int64_t n = 0; n < group.sixteens; ++n) {
      group.ends[n].finish(args, group.ends[n], portion);
    }
  }
  if (args.out_bits != nullptr && group.block + group.blocks == l.blocks && l.blocks % 2 != 0) {
    clear_upper_half(args, {strip, 0, strip.count, group.sums, group.blocks});
  }
}

void run_strip(const BConv2dArgs& args, const Layout& l, const Group& group, Strip& strip) {
  if (strip.count > 0) {
    count_group(args, l, strip, group.block, group.sums);
    finish_strip(args, l, strip, group);
    strip.count = 0;
  }
}

// Pairs of outputs whose windows have all columns inside, or need not; of an odd row's last pair the second is no
// output.
Taps whole_pairs(const BConv2dShape& s, const Layout& l) {
  const Window& w = s.window;
  if (s.padding_value != 0) {
    return {0, l.pairs};
  }
  const int64_t begin = (w.padding_w + w.stride_w - 1) / w.stride_w;
  const int64_t inside = w.width + w.padding_w - w.kernel_w;
  const int64_t end = inside < 0 ? 0 : inside / w.stride_w + 1;  // of the outputs
  return {(begin + 1) / 2, end >= w.out_width ? l.pairs : end / 2};
}

// Output rows begin to end - 1, whose indices begin with what row begin reads, against one group.
void run_group(const BConv2dArgs& args, const Layout& l, int64_t begin, int64_t end, int64_t block) {
  const Window& w = args.shape.window;
  const Scratch scratch = scratch_at(args.scratch, l);
  Group group;
  start_group(args, l, block, group);
  const Taps whole = whole_pairs(args.shape, l);
  ConstantsCache cache;
  Strip strip;
  strip.count = 0;
  cache.clear();
  strip.kh = {-1, -1};
  for (int64_t oh = begin; oh < end; ++oh) {
    const uint16_t* row = scratch.indices + (oh - begin) * w.stride_h * l.columns * l.nibbles;
    const Taps kh = rows_of(args.shape, oh);
    if (kh.begin != strip.kh.begin || kh.end != strip.kh.end) {
      run_strip(args, l, group, strip);
      strip.kh = cache.kh = kh;
      cache.clear();
    }
    for (int64_t pair = 0; pair < l.pairs; ++pair) {
      if (strip.count == kStrip || cache.count + 2 > kSlots) {
        run_strip(args, l, group, strip);
        if (cache.count + 2 > kSlots) {
          cache.clear();
        }
      }
      const int64_t i = strip.count++;
      strip.indices[i] = row + pair * l.pair_step * l.nibbles;
      strip.odds[i] = scratch.window_odds + ((oh - begin) * l.pairs + pair) * 2;
      strip.row[i] = oh;
      strip.column[i] = 2 * pair;
      const bool known = cache.whole != nullptr && pair >= whole.begin && pair < whole.end;
      strip.constants[i][0] = known ? cache.whole : constants_for(args, l, block, 2 * pair, cache);
      strip.constants[i][1] = known ? cache.whole : constants_for(args, l, block, 2 * pair + 1, cache);
    }
  }
  run_strip(args, l, group, strip);
}

void run(const BConv2dArgs& args, int64_t begin, int64_t end) {
  const Layout l = layout_of(args.shape);
  const Window& w = args.shape.window;
  const Scratch scratch = scratch_at(args.scratch, l);
  for (int64_t oh = begin; oh < end; oh += l.out_rows) {
    const int64_t last = oh + l.out_rows < end ? oh + l.out_rows : end;
    const int64_t top = oh * w.stride_h - w.padding_h;
    write_rows(args, l, top, top + (last - 1 - oh) * w.stride_h + w.kernel_h, scratch);
    write_window_odds(args.shape, l, oh, last, scratch);
    for (int64_t block = 0; block < l.blocks; block += group_size(l, block)) {
      run_group(args, l, oh, last, block);
    }
  }
}

}  // namespace

constexpr BConv2dKernel bconv2d_x86_avx2 = {"bconv2d_x86_avx2", Isa::kAvx2, supports, packed_bytes, pack,
                                            scratch_bytes,      run,        true};

}  // namespace reactnet
