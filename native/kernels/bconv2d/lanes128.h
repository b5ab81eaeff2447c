// bconv2d in registers of 128 bits, for NEON and WebAssembly. A register holds one word of 64 channels of two outputs,
// and the word of a pixel is broadcast against it, so there is no sum across lanes. Bits are counted in bytes; up to 31
// words add up in bytes before they widen. A tile is up to kTile pixels of a row against eight outputs.
//
// Packed weights: blocks of 8 outputs x kh x kw x words x 8 u64; outputs past the last are zeros.
//
// An ISA's file includes this inside its own anonymous namespace, behind what differs from ISA to ISA:
//   kTile                         pixels of a tile: as many as registers allow
//   Words, Bytes, Sums, Floats    two words, sixteen bytes, four int32, four floats
//   broadcast(u64), add_differing(Bytes, Words, two words of weights), add_counts(Sums, Bytes of outputs 0 and 1, of 2
//   and 3) zero_bytes, zero_sums, load_sums, store_sums, minus_twice(base, Sums), to_floats(Sums) load_floats,
//   store_floats, multiply, add, where_not_negative(y, else), not_negative(y): a bit a lane
#ifndef REACTNET_KERNELS_BCONV2D_LANES128_H_
#define REACTNET_KERNELS_BCONV2D_LANES128_H_

constexpr int64_t kBlock = 8;
constexpr int kRegisters = 4;         // of a block
constexpr int64_t kTileOutputs = 64;  // a word of bits
constexpr int64_t kFlush = 31;        // words whose bits a byte counts

int64_t words_of(int64_t channels) { return (channels + 63) / 64; }

bool supports(const BConv2dShape& s) { return s.groups == 1; }

int64_t block_words(const BConv2dShape& s) {
  return s.window.kernel_h * s.window.kernel_w * words_of(s.channels) * kBlock;
}

uint64_t packed_bytes(const BConv2dShape& s) {
  return static_cast<uint64_t>((s.outputs + kBlock - 1) / kBlock * block_words(s)) * 8;
}

void pack(const BConv2dShape& s, const uint64_t* weight, void* packed) {
  const int64_t row = s.window.kernel_h * s.window.kernel_w * words_of(s.channels);
  uint64_t* out = static_cast<uint64_t*>(packed);
  memset(out, 0, packed_bytes(s));
  for (int64_t o = 0; o < s.outputs; ++o) {
    uint64_t* lane = out + o / kBlock * block_words(s) + o % kBlock;
    for (int64_t i = 0; i < row; ++i) {
      lane[i * kBlock] = weight[o * row + i];
    }
  }
}

// Where the taps of a tile begin: pixel m of the tile is m * step words further.
struct Tile {
  const uint64_t* in;  // the first tap inside, of the first pixel
  int64_t step;        // words from pixel to pixel
  int64_t row_step;    // words from one row of the map to the next
  Taps kh, kw;         // inside the map, the same for each pixel of the tile
};

// Differing bits of `words` words (at most kFlush) of kPixels pixels, added to counts[pixel][output].
template <int kPixels>
void count_words(const uint64_t* in, int64_t step, const uint64_t* weight, int64_t words, Sums (*counts)[2]) {
  Bytes bytes[kPixels][kRegisters];
  for (int m = 0; m < kPixels; ++m) {
    for (int r = 0; r < kRegisters; ++r) {
      bytes[m][r] = zero_bytes();
    }
  }
  for (int64_t i = 0; i < words; ++i, weight += kBlock) {
    for (int m = 0; m < kPixels; ++m) {
      const Words bits = broadcast(in[m * step + i]);
      for (int r = 0; r < kRegisters; ++r) {
        bytes[m][r] = add_differing(bytes[m][r], bits, weight + 2 * r);
      }
    }
  }
  for (int m = 0; m < kPixels; ++m) {
    for (int half = 0; half < 2; ++half) {
      counts[m][half] = add_counts(counts[m][half], bytes[m][2 * half], bytes[m][2 * half + 1]);
    }
  }
}

template <int kPixels>
void count_tile(const BConv2dShape& s, const Tile& tile, const uint64_t* block, int32_t* out) {
  const int64_t words = words_of(s.channels);
  Sums counts[kPixels][2];
  for (int m = 0; m < kPixels; ++m) {
    counts[m][0] = counts[m][1] = zero_sums();
  }
  for (int64_t kh = tile.kh.begin; kh < tile.kh.end; ++kh) {
    const uint64_t* in = tile.in + (kh - tile.kh.begin) * tile.row_step;
    const uint64_t* weight = block + (kh * s.window.kernel_w + tile.kw.begin) * words * kBlock;
    const int64_t run = (tile.kw.end - tile.kw.begin) * words;  // the taps of a row lie side by side
    for (int64_t i = 0; i < run; i += kFlush) {
      count_words<kPixels>(in + i, tile.step, weight + i * kBlock, run - i < kFlush ? run - i : kFlush, counts);
    }
  }
  for (int m = 0; m < kPixels; ++m) {
    store_sums(out + m * kTileOutputs, counts[m][0]);
    store_sums(out + m * kTileOutputs + 4, counts[m][1]);
  }
}

template <int kMost>
void count_pixels(int64_t pixels, const BConv2dShape& s, const Tile& tile, const uint64_t* block, int32_t* out) {
  if constexpr (kMost > 1) {
    if (pixels < kMost) {
      count_pixels<kMost - 1>(pixels, s, tile, block, out);
      return;
    }
  }
  count_tile<kMost>(s, tile, block, out);
}

// Taps outside count as the padding: adds those of one pixel to its counts.
void count_outside(const BConv2dArgs& args, Taps kh, Taps kw, const uint64_t* block, int32_t* out) {
  const BConv2dShape& s = args.shape;
  const int64_t words = words_of(s.channels);
  const uint64_t tail = s.channels % 64 == 0 ? ~uint64_t{0} : (uint64_t{1} << (s.channels % 64)) - 1;
  Sums counts[1][2] = {{load_sums(out), load_sums(out + 4)}};
  for (int64_t tap = 0; tap < s.window.kernel_h * s.window.kernel_w; ++tap) {
    const int64_t row = tap / s.window.kernel_w;
    const int64_t column = tap % s.window.kernel_w;
    if (row >= kh.begin && row < kh.end && column >= kw.begin && column < kw.end) {
      continue;
    }
    for (int64_t i = 0; i < words; ++i) {
      const uint64_t bits = s.padding_value == 1 ? (i + 1 == words ? tail : ~uint64_t{0}) : 0;
      count_words<1>(&bits, 0, block + (tap * words + i) * kBlock, 1, counts);
    }
  }
  store_sums(out, counts[0][0]);
  store_sums(out + 4, counts[0][1]);
}

// Four floats, of which the last ones may not exist.
Floats load_some(const float* from, int64_t count) {
  if (count >= 4) {
    return load_floats(from);
  }
  float v[4] = {};
  memcpy(v, from, static_cast<size_t>(count) * sizeof(float));
  return load_floats(v);
}

// Shortcut channels from `first` on, which start again at zero behind the last.
Floats load_shortcut(const BConv2dArgs& args, const float* pixel, int64_t first, int64_t count) {
  const int64_t channels = args.shortcut_channels;
  int64_t c = first % channels;
  if (c + count <= channels) {
    return load_some(pixel + c, count);
  }
  float v[4] = {};
  for (int64_t i = 0; i < count; ++i) {
    v[i] = pixel[c];
    c = c + 1 == channels ? 0 : c + 1;
  }
  return load_floats(v);
}

// Outputs o to o + count - 1 (at most 4) of a pixel from their sums; returns their bits.
uint64_t finish_lanes(const BConv2dArgs& args, int64_t pixel, int64_t o, int64_t count, Sums acc) {
  Floats y = to_floats(acc);
  if (args.scale != nullptr) {
    y = multiply(y, load_some(args.scale + o, count));
    y = add(y, load_some(args.shift + o, count));
  }
  if (args.shortcut != nullptr) {
    y = add(y, load_shortcut(args, args.shortcut + pixel * args.shortcut_channels, o, count));
  }
  if (args.slope != nullptr) {
    y = where_not_negative(y, multiply(load_some(args.slope + o, count), y));
  }
  if (args.shift_out != nullptr) {
    y = add(y, load_some(args.shift_out + o, count));
  }
  if (args.out_real != nullptr) {
    float v[4];
    store_floats(v, y);
    memcpy(args.out_real + pixel * args.shape.outputs + o, v, static_cast<size_t>(count) * sizeof(float));
  }
  if (args.out_bits == nullptr) {
    return 0;
  }
  return not_negative(add(y, load_some(args.next_shift + o, count))) & ((1u << count) - 1u);
}

void finish_pixel(const BConv2dArgs& args, int64_t pixel, int64_t first, int64_t taps, const int32_t* counts) {
  const int64_t left = args.shape.outputs - first;
  const int64_t count = left < kTileOutputs ? left : kTileOutputs;
  const int32_t base = static_cast<int32_t>(taps * args.shape.channels);
  uint64_t word = 0;
  for (int64_t i = 0; i < count; i += 4) {
    const Sums acc = minus_twice(base, load_sums(counts + i));
    word |= finish_lanes(args, pixel, first + i, count - i < 4 ? count - i : 4, acc) << i;
  }
  if (args.out_bits != nullptr) {
    args.out_bits[pixel * words_of(args.shape.outputs) + first / 64] = word;
  }
}

// `pixels` (at most kTile) outputs of row oh from column ow on, all with the same taps inside.
void run_tile(const BConv2dArgs& args, int64_t oh, int64_t ow, int64_t pixels, Taps kh, Taps kw) {
  const BConv2dShape& s = args.shape;
  const Window& w = s.window;
  const int64_t words = words_of(s.channels);
  const int64_t row = oh * w.stride_h - w.padding_h + kh.begin;
  const int64_t column = ow * w.stride_w - w.padding_w + kw.begin;
  const bool any = kh.begin < kh.end && kw.begin < kw.end;
  const Tile tile = {any ? args.in + (row * w.width + column) * words : args.in, w.stride_w * words, w.width * words,
                     any ? kh : Taps{0, 0}, kw};
  const int64_t inside = (kh.end - kh.begin) * (kw.end - kw.begin);
  const int64_t taps = s.padding_value == 0 ? inside : w.kernel_h * w.kernel_w;
  int32_t counts[kTile * kTileOutputs];
  for (int64_t first = 0; first < s.outputs; first += kTileOutputs) {
    for (int64_t o = first; o < s.outputs && o < first + kTileOutputs; o += kBlock) {
      const uint64_t* block = static_cast<const uint64_t*>(args.packed) + o / kBlock * block_words(s);
      count_pixels<kTile>(pixels, s, tile, block, counts + (o - first));
      for (int64_t m = 0; taps != inside && m < pixels; ++m) {
        count_outside(args, kh, kw, block, counts + m * kTileOutputs + (o - first));
      }
    }
    for (int64_t m = 0; m < pixels; ++m) {
      finish_pixel(args, oh * w.out_width + ow + m, first, taps, counts + m * kTileOutputs);
    }
  }
}

void run(const BConv2dArgs& args, int64_t begin, int64_t end) {
  const Window& w = args.shape.window;
  for (int64_t oh = begin; oh < end; ++oh) {
    const Taps kh = inside_rows(w, oh);
    for (int64_t ow = 0; ow < w.out_width;) {
      const Taps kw = inside_columns(w, ow);
      const int64_t next = same_columns_end(w, ow, kTile);
      run_tile(args, oh, ow, next - ow, kh, kw);
      ow = next;
    }
  }
}

uint64_t scratch_bytes(const BConv2dShape&) { return 0; }

#endif  // REACTNET_KERNELS_BCONV2D_LANES128_H_
