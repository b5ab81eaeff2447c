// AVX2 has no vector popcount; a shuffle is a table of sixteen entries. A byte holds four bits of one output's weights:
// 32 outputs are a register of indices, and the table belongs to four channels of TWO pixels a and b:
//   entry i = popcount(a ^ i) + 16 * popcount(b ^ i)
// so a look-up counts 4 bits x 2 pixels x 32 outputs. Three of them (<= 12 a nibble) add up to v, and two byte sums
// follow it:
//   all = sum v                 = [A0 + 16 B0, A1 + 16 B1]   (a pair of neighbouring bytes, modulo 256 each)
//   mix = sum (v as u16) >> 4   = [B0 + 16 A1, B1]
// From the bytes B1, then A1, B0 and A0 come back exactly as long as none exceeds 255: after 63 look-ups, 252 bits.
//
// A pair is two neighbouring outputs of a row. Its tables are chosen by indices that are made once for each column of
// the map and serve every tap and every output. Weights are taken in pieces of up to 63 nibbles x 128 outputs, which
// stay in the L1 cache while a strip of pairs passes; the strip's sums lie in memory between two pieces.
//
// Packed weights: groups of up to four blocks of 32 outputs x kh x row x blocks x 32 bytes, where a row is the nibbles
// of kw x channels, in units of 32 channels (nibbles 0 2 4 6 1 3 5 7).
#include "bconv2d/x86_avx2_epilogue.h"
#include "bconv2d/x86_avx2_layout.h"

namespace reactnet {
namespace {

constexpr int64_t kFlush = 21;  // triples between two flushes

__m256i table_at(const uint8_t* entry) { return _mm256_broadcastsi128_si256(*reinterpret_cast<const __m128i*>(entry)); }

__m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

// A piece of the weights: `triples` of each of `rows` rows of the window, from one of its rows on.
struct Piece {
  const uint8_t* weight;
  int64_t kh, nibble;  // where it begins
  int64_t rows, triples;
  int64_t weight_step;  // bytes from row to row
  int64_t index_step;   // indices from row to row
};

// Even and odd outputs of both pixels, u16.
struct Counts {
  __m256i a0, a1, b0, b1;
};

inline void flush(Counts& s, bool first, __m256i all, __m256i mix) {
  const __m256i low = _mm256_set1_epi16(255);
  const __m256i b1 = _mm256_srli_epi16(mix, 8);
  const __m256i a1 = _mm256_and_si256(_mm256_sub_epi16(_mm256_srli_epi16(all, 8), _mm256_slli_epi16(b1, 4)), low);
  const __m256i b0 = _mm256_and_si256(_mm256_sub_epi16(mix, _mm256_slli_epi16(a1, 4)), low);
  const __m256i a0 = _mm256_and_si256(_mm256_sub_epi16(all, _mm256_slli_epi16(b0, 4)), low);
  if (first) {
    s = {a0, a1, b0, b1};
  } else {
    s = {_mm256_add_epi16(s.a0, a0), _mm256_add_epi16(s.a1, a1), _mm256_add_epi16(s.b0, b0),
         _mm256_add_epi16(s.b1, b1)};
  }
}

// Differing bits of kPairs pairs of pixels with kBlocks blocks of outputs, in one piece of the weights.
template <int kPairs, int kBlocks>
void count_piece(const Piece& piece, const uint16_t* const* pairs, bool first, Counts* sums) {
  const uint8_t* tables = &kTables.entry[0][0];
  __m256i all[kPairs][kBlocks];
  __m256i mix[kPairs][kBlocks];
  const uint16_t* in[kPairs];
  for (int m = 0; m < kPairs; ++m) {
    in[m] = pairs[m] + piece.kh * piece.index_step + piece.nibble;
    for (int n = 0; n < kBlocks; ++n) {
      all[m][n] = mix[m][n] = _mm256_setzero_si256();
    }
  }
  const uint8_t* row_weight = piece.weight;
  for (int64_t row = 0; row < piece.rows; ++row, row_weight += piece.weight_step) {
    const uint8_t* weight = row_weight;
    for (int64_t t = 0; t < piece.triples * 3; t += 3, weight += 3 * kBlocks * kBlock) {
      for (int m = 0; m < kPairs; ++m) {
        const __m256i table[3] = {table_at(tables + in[m][t]), table_at(tables + in[m][t + 1]),
                                  table_at(tables + in[m][t + 2])};
        for (int n = 0; n < kBlocks; ++n) {
          const uint8_t* w = weight + n * kBlock;
          const __m256i first_two = _mm256_add_epi8(_mm256_shuffle_epi8(table[0], load(w)),
                                                    _mm256_shuffle_epi8(table[1], load(w + kBlocks * kBlock)));
          const __m256i v = _mm256_add_epi8(first_two, _mm256_shuffle_epi8(table[2], load(w + 2 * kBlocks * kBlock)));
          all[m][n] = _mm256_add_epi8(all[m][n], v);
          mix[m][n] = _mm256_add_epi8(mix[m][n], _mm256_srli_epi16(v, 4));
        }
      }
    }
    for (int m = 0; m < kPairs; ++m) {
      in[m] += piece.index_step;
    }
  }
  for (int m = 0; m < kPairs; ++m) {
    for (int n = 0; n < kBlocks; ++n) {
      flush(sums[m * kBlocks + n], first, all[m][n], mix[m][n]);
    }
  }
}

// Pairs of pixels that share the rows of the window inside the map.
struct Strip {
  const uint16_t* indices[kStrip];      // of the first row of the window
  const int32_t* constants[kStrip][2];  // of both pixels, for the first of the group's blocks
  int64_t row[kStrip], column[kStrip];
  int64_t count;
  Taps kh;
};

template <int kBlocks>
void count_strip(const Piece& piece, const Strip& strip, bool first, Counts* sums) {
  constexpr int kPairs = kBlocks == 4 ? 1 : kBlocks == 2 ? 2 : 4;
  int64_t i = 0;
  for (; i + kPairs <= strip.count; i += kPairs) {
    count_piece<kPairs, kBlocks>(piece, strip.indices + i, first, sums + i * kBlocks);
  }
  for (; i < strip.count; ++i) {
    count_piece<1, kBlocks>(piece, strip.indices + i, first, sums + i * kBlocks);
  }
}

// All pieces of a group's weights.
void count_group(const BConv2dArgs& args, const Layout& l, const Strip& strip, int64_t block, Counts* sums) {
  const int64_t blocks = group_size(l, block);
  const auto count = blocks == 4 ? count_strip<4> : blocks == 2 ? count_strip<2> : count_strip<1>;
  const int64_t triples = l.row_nibbles / 3;
  const int64_t pieces = (triples + kFlush - 1) / kFlush;  // of a row
  const int64_t rows = pieces > 1 ? 1 : kFlush / triples;  // of a piece
  const int64_t step = (triples + pieces - 1) / pieces;
  Piece piece = {};
  piece.weight_step = l.row_nibbles * blocks * kBlock;
  piece.index_step = l.columns * l.nibbles;
  bool first = true;
  for (piece.kh = strip.kh.begin; piece.kh < strip.kh.end; piece.kh += piece.rows) {
    piece.rows = strip.kh.end - piece.kh < rows ? strip.kh.end - piece.kh : rows;
    for (int64_t t = 0; t < triples; t += step, first = false) {
      piece.nibble = t * 3;
      piece.triples = triples - t < step ? triples - t : step;
      piece.weight = static_cast<const uint8_t*>(args.packed) + block * l.block_bytes + piece.kh * piece.weight_step +
                     piece.nibble * blocks * kBlock;
      count(piece, strip, first, sums);
    }
  }
  if (first) {
    memset(sums, 0, static_cast<size_t>(strip.count * blocks) * sizeof(Counts));
  }
}

// The sum that each output of a group has if no bit differs, for some columns of the window inside the map.
struct Constants {
  Taps kw;
  int32_t sum[kGroup * kBlock];
};

constexpr int64_t kSlots = 8;

// Those in use, all for the same rows of the window.
struct ConstantsCache {
  Taps kh;
  int64_t count;
  const int32_t* whole;  // of windows whose columns are all inside, or null
  Constants slots[kSlots];

  void clear() {
    count = 0;
    whole = nullptr;
  }
};

// Taps left and right of the map stand as zeros in the indices: their ones have been counted.
void fill_constants(const BConv2dArgs& args, const Layout& l, int64_t block, Taps kh, Constants& c) {
  const int64_t kernel_w = args.shape.window.kernel_w;
  const int64_t lanes = group_size(l, block) * kBlock;
  const int64_t inside = (kh.end - kh.begin) * (c.kw.end - c.kw.begin) * args.shape.channels;
  for (int64_t i = 0; i < lanes; ++i) {
    c.sum[i] = static_cast<int32_t>(inside);
  }
  for (int64_t row = kh.begin; row < kh.end; ++row) {
    for (int64_t column = 0; column < kernel_w; ++column) {
      const int32_t* ones = ones_of(args.packed, l) + (row * kernel_w + column) * l.blocks * kBlock + block * kBlock;
      for (int64_t i = 0; (column < c.kw.begin || column >= c.kw.end) && i < lanes; ++i) {
        c.sum[i] += 2 * ones[i];
      }
    }
  }
}

// The cache has room for one more.
const int32_t* constants_for(const BConv2dArgs& args, const Layout& l, int64_t block, int64_t ow,
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

// One block of all pixels of a strip. `sums` are the first pair's, `step` those of a pair; `lane`: of the constants.
template <Steps kSteps, class Lanes>
void finish_blocks(const Block& shared, const Lanes& lanes, const Strip& strip, int64_t width, int64_t lane,
                   const Counts* sums, int64_t step) {
  const Block block = shared;  // a copy that no store can change
  for (int64_t i = 0; i < strip.count; ++i, sums += step) {
    const int64_t pixel = strip.row[i] * width + strip.column[i];
    finish_block<kSteps>(block, lanes, pixel, {sums->a0, sums->a1}, strip.constants[i][0] + lane);
    if (strip.column[i] + 1 < width) {
      finish_block<kSteps>(block, lanes, pixel + 1, {sums->b0, sums->b1}, strip.constants[i][1] + lane);
    }
  }
}

Steps steps_of(const BConv2dArgs& args, const Block& block) {
  if (args.scale == nullptr && args.shortcut == nullptr && args.slope == nullptr && args.shift_out == nullptr &&
      args.out_bits == nullptr && args.out_real != nullptr) {
    return Steps::kNone;
  }
  if (args.scale == nullptr || args.out_bits == nullptr) {
    return Steps::kSome;
  }
  const bool reals = args.shortcut != nullptr && args.slope != nullptr && args.out_real != nullptr;
  if (reals && block.channel + kBlock <= args.shortcut_channels) {
    return args.shift_out == nullptr ? Steps::kMost : Steps::kAll;
  }
  const bool none = args.shortcut == nullptr && args.slope == nullptr && args.out_real == nullptr;
  return none && args.shift_out == nullptr ? Steps::kBits : Steps::kSome;
}

void finish_strip(const BConv2dArgs& args, const Layout& l, const Strip& strip, int64_t first, const Counts* sums) {
  using Finish = void (*)(const Block&, const AllLanes&, const Strip&, int64_t, int64_t, const Counts*, int64_t);
  static constexpr Finish kFinish[] = {finish_blocks<Steps::kMost, AllLanes>, finish_blocks<Steps::kAll, AllLanes>,
                                       finish_blocks<Steps::kBits, AllLanes>, finish_blocks<Steps::kNone, AllLanes>,
                                       finish_blocks<Steps::kSome, AllLanes>};
  const int64_t width = args.shape.window.out_width;
  const int64_t blocks = group_size(l, first);
  for (int64_t n = 0; n < blocks; ++n) {
    const Block block = block_at(args, (first + n) * kBlock);
    const int64_t left = args.shape.outputs - (first + n) * kBlock;
    if (left < kBlock) {
      finish_blocks<Steps::kSome>(block, FirstLanes{left}, strip, width, n * kBlock, sums + n, blocks);
    } else {
      const Finish finish = kFinish[static_cast<int>(steps_of(args, block))];
      finish(block, AllLanes(), strip, width, n * kBlock, sums + n, blocks);
    }
  }
}

Taps rows_of(const BConv2dShape& s, int64_t oh) {
  return s.padding_value == 0 ? inside_rows(s.window, oh) : Taps{0, s.window.kernel_h};
}

void run_strip(const BConv2dArgs& args, const Layout& l, int64_t block, Strip& strip) {
  Counts* sums = reinterpret_cast<Counts*>(static_cast<uint8_t*>(args.scratch) + sums_offset(l));
  if (strip.count > 0) {
    count_group(args, l, strip, block, sums);
    finish_strip(args, l, strip, block, sums);
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
  const uint16_t* indices = static_cast<const uint16_t*>(args.scratch);
  const Taps whole = whole_pairs(args.shape, l);
  ConstantsCache cache;
  Strip strip;
  strip.count = 0;
  cache.clear();
  strip.kh = {-1, -1};
  for (int64_t oh = begin; oh < end; ++oh) {
    const uint16_t* row = indices + (oh - begin) * w.stride_h * l.columns * l.nibbles;
    const Taps kh = rows_of(args.shape, oh);
    if (kh.begin != strip.kh.begin || kh.end != strip.kh.end) {
      run_strip(args, l, block, strip);
      strip.kh = cache.kh = kh;
      cache.clear();
    }
    for (int64_t pair = 0; pair < l.pairs; ++pair) {
      if (strip.count == kStrip || cache.count + 2 > kSlots) {
        run_strip(args, l, block, strip);
        if (cache.count + 2 > kSlots) {
          cache.clear();
        }
      }
      const int64_t i = strip.count++;
      strip.indices[i] = row + pair * l.pair_step * l.nibbles;
      strip.row[i] = oh;
      strip.column[i] = 2 * pair;
      const bool known = cache.whole != nullptr && pair >= whole.begin && pair < whole.end;
      strip.constants[i][0] = known ? cache.whole : constants_for(args, l, block, 2 * pair, cache);
      strip.constants[i][1] = known ? cache.whole : constants_for(args, l, block, 2 * pair + 1, cache);
    }
  }
  run_strip(args, l, block, strip);
}

void run(const BConv2dArgs& args, int64_t begin, int64_t end) {
  const Layout l = layout_of(args.shape);
  const Window& w = args.shape.window;
  for (int64_t oh = begin; oh < end; oh += l.out_rows) {
    const int64_t last = oh + l.out_rows < end ? oh + l.out_rows : end;
    const int64_t top = oh * w.stride_h - w.padding_h;
    write_rows(args, l, top, top + (last - 1 - oh) * w.stride_h + w.kernel_h, static_cast<uint16_t*>(args.scratch));
    for (int64_t block = 0; block < l.blocks; block += group_size(l, block)) {
      run_group(args, l, oh, last, block);
    }
  }
}

}  // namespace

constexpr BConv2dKernel bconv2d_x86_avx2 = {"bconv2d_x86_avx2", Isa::kAvx2, supports, packed_bytes, pack,
                                            scratch_bytes,      run};

}  // namespace reactnet
