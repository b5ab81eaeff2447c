// bconv2d in registers of 128 bits, for NEON and WebAssembly. A register holds one word of 64 channels of two outputs,
// and the word of a pixel is broadcast against it, so there is no sum across lanes. Bits are counted in bytes; up to 31
// counts add up in bytes before they widen. A tile is up to kTile pixels of a row against eight outputs.
//
// Where a pixel has an even number of words, one count serves two of them. With d1 = a1 ^ w1, d2 = a2 ^ w2 of two words
// of a pixel and a weight, p = a1 ^ a2 and q = w1 ^ w2:
//   |d1| + |d2| = |p| - |q| + 2 |B|,   B = maj(d1, ~p, q) = (a2 ^ w1) ? ~p : q
// since d1 and ~p agree exactly where a2 and w1 differ. So a pixel keeps (a2, ~p) and its sum of |p|, made once a run;
// a weight keeps (w1, q), and -|q| goes into a constant; then xor, bit select, count and add do what took six steps.
//
// Packed weights: blocks of 8 outputs, each kh x kw x words x 8 u64, then int32: kh x kw x 8 that a tap inside adds to
// the sum, kh x kw x 8 that a tap outside adds, 8 for all taps inside. Outputs past the last are zeros.
//
// An ISA's file includes this inside its own anonymous namespace, behind <arch>_<isa>_lanes.h, <arch>_<isa>_products.h
// and what follows:
//   kTile          pixels of a tile: as many as registers allow
//   Words, Bytes   two words, sixteen bytes
//   broadcast(a word in memory), zero_bytes, add_differing(Bytes, Words, two words of weights), add_pair(Bytes, a2, ~p,
//   w1, q), add_counts(Sums, Bytes of outputs 0 and 1, of 2 and 3)
#ifndef REACTNET_KERNELS_BCONV2D_LANES128_H_
#define REACTNET_KERNELS_BCONV2D_LANES128_H_

constexpr int64_t kBlock = 8;
constexpr int kRegisters = 4;         // of a block
constexpr int64_t kTileOutputs = 64;  // a word of bits
constexpr int64_t kFlush = 31;        // counts of eight bits that a byte holds

int64_t words_of(int64_t channels) { return (channels + 63) / 64; }
int64_t taps_of(const BConv2dShape& s) { return s.window.kernel_h * s.window.kernel_w; }
bool paired(const BConv2dShape& s) { return words_of(s.channels) % 2 == 0; }

bool supports(const BConv2dShape& s) { return s.groups == 1; }

int64_t weight_words(const BConv2dShape& s) { return taps_of(s) * words_of(s.channels) * kBlock; }
int64_t block_words(const BConv2dShape& s) { return weight_words(s) + (2 * taps_of(s) + 1) * kBlock / 2; }

// What stands behind the weights of a block.
struct Constants {
  const int32_t* inside;   // taps x 8
  const int32_t* outside;  // taps x 8
  const int32_t* all;      // 8
};

Constants constants_of(const BConv2dShape& s, const uint64_t* block) {
  const int32_t* first = reinterpret_cast<const int32_t*>(block + weight_words(s));
  return {first, first + taps_of(s) * kBlock, first + 2 * taps_of(s) * kBlock};
}

uint64_t packed_bytes(const BConv2dShape& s) {
  return static_cast<uint64_t>((s.outputs + kBlock - 1) / kBlock * block_words(s)) * 8;
}

int32_t ones_of(uint64_t word) { return static_cast<int32_t>(__builtin_popcountll(word)); }

// One tap of output `o` of a block.
void pack_tap(const BConv2dShape& s, const uint64_t* weight, uint64_t* block, int64_t o, int64_t tap) {
  const int64_t words = words_of(s.channels);
  int32_t ones = 0;
  int32_t differing = 0;  // the sum of |q|
  for (int64_t i = 0; i < words; ++i) {
    const bool second = paired(s) && i % 2 == 1;
    const uint64_t word = second ? weight[i] ^ weight[i - 1] : weight[i];
    block[(tap * words + i) * kBlock + o] = word;
    ones += ones_of(weight[i]);
    differing += second ? ones_of(word) : 0;
  }
  int32_t* inside = reinterpret_cast<int32_t*>(block + weight_words(s));
  const int32_t channels = static_cast<int32_t>(s.channels);
  inside[tap * kBlock + o] = channels + 2 * differing;
  inside[(taps_of(s) + tap) * kBlock + o] = static_cast<int32_t>(s.padding_value) * (2 * ones - channels);
  inside[2 * taps_of(s) * kBlock + o] += channels + 2 * differing;
}

void pack(const BConv2dShape& s, const uint64_t* weight, void* packed) {
  memset(packed, 0, packed_bytes(s));
  for (int64_t o = 0; o < s.outputs; ++o) {
    uint64_t* block = static_cast<uint64_t*>(packed) + o / kBlock * block_words(s);
    for (int64_t tap = 0; tap < taps_of(s); ++tap, weight += words_of(s.channels)) {
      pack_tap(s, weight, block, o % kBlock, tap);
    }
  }
}

uint64_t scratch_bytes(const BConv2dShape& s) {
  const int64_t pixels = s.window.height * s.window.width;
  return paired(s) ? static_cast<uint64_t>(pixels * (words_of(s.channels) * 8 + 4)) : 0;
}

// The activations as they are counted: words of the whole map, and each pixel's sum of |p|, null where there are no
// pairs.
struct Map {
  const uint64_t* words;
  const int32_t* differing;
};

// Makes the pairs of rows begin to end - 1 of the input.
Map make_pairs(const BConv2dArgs& args, int64_t begin, int64_t end) {
  const BConv2dShape& s = args.shape;
  const int64_t words = words_of(s.channels);
  const int64_t width = s.window.width;
  uint64_t* out = static_cast<uint64_t*>(args.scratch);
  int32_t* differing = reinterpret_cast<int32_t*>(out + s.window.height * width * words);
  for (int64_t p = begin * width; p < end * width; ++p) {
    int32_t sum = 0;
    for (int64_t i = p * words; i < (p + 1) * words; i += 2) {
      const uint64_t both = args.in[i] ^ args.in[i + 1];
      out[i] = args.in[i + 1];
      out[i + 1] = ~both;
      sum += ones_of(both);
    }
    differing[p] = sum;
  }
  return {out, differing};
}

// Where the taps of a tile begin: pixel m of the tile is m * step words further.
struct Tile {
  const uint64_t* in;  // the first tap inside, of the first pixel
  int64_t step;        // words from pixel to pixel
  int64_t row_step;    // words from one row of the map to the next
  Taps kh, kw;         // inside the map, the same for each pixel of the tile
};

// Counts of `words` words of kPixels pixels, at most kFlush words or pairs, added to counts[pixel][output].
template <int kPixels, bool kPaired>
void count_words(const uint64_t* in, int64_t step, const uint64_t* weight, int64_t words, Sums (*counts)[2]) {
  constexpr int64_t kAtOnce = kPaired ? 2 : 1;
  Bytes bytes[kPixels][kRegisters];
#pragma GCC unroll 8
  for (int m = 0; m < kPixels; ++m) {
#pragma GCC unroll 8
    for (int r = 0; r < kRegisters; ++r) {
      bytes[m][r] = zero_bytes();
    }
  }
  for (int64_t i = 0; i < words; i += kAtOnce, weight += kAtOnce * kBlock) {
#pragma GCC unroll 8
    for (int m = 0; m < kPixels; ++m) {
      const Words first = broadcast(in + m * step + i);
      const Words second = kPaired ? broadcast(in + m * step + i + 1) : first;
#pragma GCC unroll 8
      for (int r = 0; r < kRegisters; ++r) {
        bytes[m][r] = kPaired ? add_pair(bytes[m][r], first, second, weight + 2 * r, weight + kBlock + 2 * r)
                              : add_differing(bytes[m][r], first, weight + 2 * r);
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kPixels; ++m) {
    counts[m][0] = add_counts(counts[m][0], bytes[m][0], bytes[m][1]);
    counts[m][1] = add_counts(counts[m][1], bytes[m][2], bytes[m][3]);
  }
}

// Sums of a tile, but for what depends on the pixel alone: they begin at `start`, 8 for all pixels.
template <int kPixels, bool kPaired>
void count_tile(const BConv2dShape& s, const Tile& tile, const uint64_t* block, const int32_t* start, int32_t* out) {
  constexpr int64_t kMost = kFlush * (kPaired ? 2 : 1);
  const int64_t words = words_of(s.channels);
  Sums counts[kPixels][2];
  for (int m = 0; m < kPixels; ++m) {
    counts[m][0] = counts[m][1] = set_sums(0);
  }
  for (int64_t kh = tile.kh.begin; kh < tile.kh.end; ++kh) {
    const uint64_t* in = tile.in + (kh - tile.kh.begin) * tile.row_step;
    const uint64_t* weight = block + (kh * s.window.kernel_w + tile.kw.begin) * words * kBlock;
    const int64_t run = (tile.kw.end - tile.kw.begin) * words;  // the taps of a row lie side by side
    for (int64_t i = 0; i < run; i += kMost) {
      count_words<kPixels, kPaired>(in + i, tile.step, weight + i * kBlock, run - i < kMost ? run - i : kMost, counts);
    }
  }
  for (int m = 0; m < kPixels; ++m) {
    for (int half = 0; half < 2; ++half) {
      const Sums twice = add_sums(counts[m][half], counts[m][half]);
      const Sums taken = kPaired ? add_sums(twice, twice) : twice;
      store_sums(out + m * kTileOutputs + half * 4, subtract_sums(load_sums(start + half * 4), taken));
    }
  }
}

template <int kMost, bool kPaired>
void count_pixels(int64_t pixels, const BConv2dShape& s, const Tile& tile, const uint64_t* block, const int32_t* start,
                  int32_t* out) {
  if constexpr (kMost > 1) {
    if (pixels < kMost) {
      count_pixels<kMost - 1, kPaired>(pixels, s, tile, block, start, out);
      return;
    }
  }
  count_tile<kMost, kPaired>(s, tile, block, start, out);
}

// Where the sums of a block begin for pixels with these taps inside.
void begin_sums(const BConv2dShape& s, Taps kh, Taps kw, const uint64_t* block, int32_t* start) {
  const Constants c = constants_of(s, block);
  if (kh.end - kh.begin == s.window.kernel_h && kw.end - kw.begin == s.window.kernel_w) {
    memcpy(start, c.all, kBlock * sizeof(int32_t));
    return;
  }
  Sums low = set_sums(0);
  Sums high = set_sums(0);
  for (int64_t tap = 0; tap < taps_of(s); ++tap) {
    const int64_t row = tap / s.window.kernel_w;
    const int64_t column = tap % s.window.kernel_w;
    const bool in = row >= kh.begin && row < kh.end && column >= kw.begin && column < kw.end;
    const int32_t* from = (in ? c.inside : c.outside) + tap * kBlock;
    low = add_sums(low, load_sums(from));
    high = add_sums(high, load_sums(from + 4));
  }
  store_sums(start, low);
  store_sums(start + 4, high);
}

// Shortcut channels from `first` on, which start again at zero behind the last.
template <class Lanes>
Floats load_shortcut(const BConv2dArgs& args, const Lanes& lanes, const float* pixel, int64_t first, int64_t count) {
  const int64_t channels = args.shortcut_channels;
  int64_t c = first % channels;
  if (c + count <= channels) {
    return lanes.load(pixel + c);
  }
  float v[4] = {};
  for (int64_t i = 0; i < count; ++i) {
    v[i] = pixel[c];
    c = c + 1 == channels ? 0 : c + 1;
  }
  return AllLanes::load(v);
}

// Outputs o to o + count - 1 (at most 4) of a pixel from their sums; returns their bits.
template <class Lanes>
uint64_t finish_lanes(const BConv2dArgs& args, const Lanes& lanes, int64_t pixel, int64_t o, int64_t count, Sums acc) {
  Floats y = to_floats(acc);
  if (args.scale != nullptr) {
    y = multiply(y, lanes.load(args.scale + o));
    y = add(y, lanes.load(args.shift + o));
  }
  if (args.shortcut != nullptr) {
    y = add(y, load_shortcut(args, lanes, args.shortcut + pixel * args.shortcut_channels, o, count));
  }
  if (args.slope != nullptr) {
    y = where_not_negative(y, multiply(lanes.load(args.slope + o), y));
  }
  if (args.shift_out != nullptr) {
    y = add(y, lanes.load(args.shift_out + o));
  }
  if (args.out_real != nullptr) {
    lanes.store(args.out_real + pixel * args.shape.outputs + o, y);
  }
  if (args.out_bits == nullptr) {
    return 0;
  }
  return not_negative(add(y, lanes.load(args.next_shift + o))) & ((1u << count) - 1u);
}

// The last outputs, where a register is not full: out of line, as it is the rare case.
__attribute__((noinline)) uint64_t finish_last(const BConv2dArgs& args, int64_t pixel, int64_t o, int64_t count,
                                               Sums acc) {
  return finish_lanes(args, SomeLanes(count), pixel, o, count, acc);
}

// Up to kTileOutputs outputs from `first` on; `taken` is what the sums of this pixel are less.
void finish_pixel(const BConv2dArgs& args, int64_t pixel, int64_t first, int32_t taken, const int32_t* sums) {
  const int64_t left = args.shape.outputs - first;
  const int64_t count = left < kTileOutputs ? left : kTileOutputs;
  const Sums less = set_sums(taken);
  uint64_t word = 0;
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const Sums acc = subtract_sums(load_sums(sums + i), less);
    word |= finish_lanes(args, AllLanes(), pixel, first + i, 4, acc) << i;
  }
  if (i < count) {
    const Sums acc = subtract_sums(load_sums(sums + i), less);
    word |= finish_last(args, pixel, first + i, count - i, acc) << i;
  }
  if (args.out_bits != nullptr) {
    args.out_bits[pixel * words_of(args.shape.outputs) + first / 64] = word;
  }
}

// Twice the |p| of the taps inside, which begin at pixel `first` of the map.
int32_t twice_differing(const Window& w, const Map& map, int64_t first, Taps kh, Taps kw) {
  int32_t sum = 0;
  for (int64_t row = 0; map.differing != nullptr && row < kh.end - kh.begin; ++row) {
    for (int64_t column = 0; column < kw.end - kw.begin; ++column) {
      sum += map.differing[first + row * w.width + column];
    }
  }
  return 2 * sum;
}

// `pixels` (at most kTile) outputs of row oh from column ow on, all with the same taps inside.
void run_tile(const BConv2dArgs& args, const Map& map, int64_t oh, int64_t ow, int64_t pixels, Taps kh, Taps kw) {
  const BConv2dShape& s = args.shape;
  const Window& w = s.window;
  const int64_t words = words_of(s.channels);
  if (kh.begin == kh.end || kw.begin == kw.end) {  // no tap: nothing is read
    kh = kw = Taps{0, 0};
  }
  const bool any = kh.begin < kh.end;
  const int64_t row = oh * w.stride_h - w.padding_h + kh.begin;
  const int64_t corner = any ? row * w.width + ow * w.stride_w - w.padding_w + kw.begin : 0;
  const Tile tile = {map.words + corner * words, w.stride_w * words, w.width * words, kh, kw};
  int32_t taken[kTile];
  for (int64_t m = 0; m < pixels; ++m) {
    taken[m] = twice_differing(w, map, corner + m * w.stride_w, kh, kw);
  }
  int32_t sums[kTile * kTileOutputs];
  for (int64_t first = 0; first < s.outputs; first += kTileOutputs) {
    for (int64_t o = first; o < s.outputs && o < first + kTileOutputs; o += kBlock) {
      const uint64_t* block = static_cast<const uint64_t*>(args.packed) + o / kBlock * block_words(s);
      int32_t start[kBlock];
      begin_sums(s, kh, kw, block, start);
      if (map.differing != nullptr) {
        count_pixels<kTile, true>(pixels, s, tile, block, start, sums + (o - first));
      } else {
        count_pixels<kTile, false>(pixels, s, tile, block, start, sums + (o - first));
      }
    }
    for (int64_t m = 0; m < pixels; ++m) {
      finish_pixel(args, oh * w.out_width + ow + m, first, taken[m], sums + m * kTileOutputs);
    }
  }
}

// The rows of the input that output rows begin to end - 1 read.
Map map_of(const BConv2dArgs& args, int64_t begin, int64_t end) {
  if (!paired(args.shape)) {
    return {args.in, nullptr};
  }
  const Window& w = args.shape.window;
  const int64_t first = begin * w.stride_h - w.padding_h;
  const int64_t last = (end - 1) * w.stride_h - w.padding_h + w.kernel_h;
  return make_pairs(args, first > 0 ? first : 0, last < w.height ? last : w.height);
}

void run(const BConv2dArgs& args, int64_t begin, int64_t end) {
  const Window& w = args.shape.window;
  const Map map = map_of(args, begin, end);
  for (int64_t oh = begin; oh < end; ++oh) {
    const Taps kh = inside_rows(w, oh);
    for (int64_t ow = 0; ow < w.out_width;) {
      const Taps kw = inside_columns(w, ow);
      const int64_t next = same_columns_end(w, ow, kTile);
      run_tile(args, map, oh, ow, next - ow, kh, kw);
      ow = next;
    }
  }
}

#endif  // REACTNET_KERNELS_BCONV2D_LANES128_H_
