// conv_f32 in registers of any width. A tile is up to kWideTile pixels against kWide outputs of a group, or kNarrowTile
// against kNarrow where a group has no more: as many sums as registers allow, so that the latency of an
// addition, which the law does not allow to fuse with its product, is hidden. Each sum still runs in the order of the
// law.
//
// The pixels of a tile have the same taps inside the map: they are a run of a row, or, in the columns at the edges, a
// run of a column. As many outputs as have their weights in the nearer cache go over all rows before the next ones.
//
// Packed weights: groups x blocks of kNarrow or kWide outputs x kh x kw x ci x the block, the last block of a group
// filled up with zeros.
//
// An ISA's file includes this inside its own anonymous namespace, behind <arch>_<isa>_lanes.h, kWideTile and
// kNarrowTile.
#ifndef REACTNET_KERNELS_CONV_F32_LANES_H_
#define REACTNET_KERNELS_CONV_F32_LANES_H_

constexpr int kNarrow = kLanes > 8 ? static_cast<int>(kLanes) : 8;  // outputs of a block
constexpr int kWide = 2 * kNarrow;
constexpr int64_t kNearFloats = 24 * 1024;  // of weights that stay near while rows go by: 96 KiB

struct Group {
  int64_t channels, outputs;
  int64_t block;   // outputs of a block
  int64_t blocks;  // of a group
  int64_t floats;  // of a block
};

Group group_of(const ConvF32Shape& s) {
  Group g = {s.channels / s.groups, s.outputs / s.groups, kWide, 0, 0};
  g.block = g.outputs <= kNarrow ? kNarrow : kWide;
  g.blocks = (g.outputs + g.block - 1) / g.block;
  g.floats = s.window.kernel_h * s.window.kernel_w * g.channels * g.block;
  return g;
}

bool supports(const ConvF32Shape& s) { return !(s.groups > 1 && s.channels == s.groups && s.outputs == s.groups); }

uint64_t packed_bytes(const ConvF32Shape& s) {
  const Group g = group_of(s);
  return static_cast<uint64_t>(s.groups * g.blocks * g.floats) * sizeof(float);
}

void pack(const ConvF32Shape& s, const float* weight, void* packed) {
  const Group g = group_of(s);
  const int64_t products = g.floats / g.block;
  float* out = static_cast<float*>(packed);
  for (int64_t block = 0; block < s.groups * g.blocks; ++block, out += g.floats) {
    const int64_t first = block % g.blocks * g.block;
    const float* rows = weight + (block / g.blocks * g.outputs + first) * products;
    const int64_t count = g.outputs - first < g.block ? g.outputs - first : g.block;
    if (count < g.block) {
      memset(out, 0, static_cast<size_t>(g.floats) * sizeof(float));
    }
    for (int64_t i = 0; i < products; ++i) {
      for (int64_t o = 0; o < count; ++o) {
        out[i * g.block + o] = rows[o * products + i];
      }
    }
  }
}

struct Tile {
  const float* in;  // the first tap inside, of the first pixel, channel 0 of the map
  int64_t in_step;  // floats from pixel to pixel
  float* out;       // the first pixel
  int64_t out_step;
  Taps kh, kw;  // inside; empty if either is
};

template <class Lanes>
inline void store(const Lanes& lanes, float* out, const float* bias, Floats sum) {
  lanes.store(out, bias == nullptr ? sum : add(sum, lanes.load(bias)));
}

// A register of which only the first `count` outputs exist: out of line, for the size of the tiles.
__attribute__((noinline)) void store_some(float* out, const float* bias, Floats sum, int64_t count) {
  store(SomeLanes(count), out, bias, sum);
}

// The sums of one pixel with kRegisters registers of outputs. Fields, not an array: GCC stores an array's elements to
// memory after every addition.
template <int kRegisters>
struct Row {
  Row<kRegisters - 1> others;
  Floats last = zero_floats();

  __attribute__((always_inline)) inline void add_products(Floats x, const Row<kRegisters>& weights) {
    others.add_products(x, weights.others);
    last = add(last, multiply(x, weights.last));
  }
  __attribute__((always_inline)) inline void load(const float* p) {
    others.load(p);
    last = AllLanes::load(p + (kRegisters - 1) * kLanes);
  }
  __attribute__((always_inline)) inline void finish(float* out, const float* bias, int64_t count) const {
    constexpr int64_t kFirst = (kRegisters - 1) * kLanes;
    others.finish(out, bias, count);
    if (count >= kFirst + kLanes) {
      store(AllLanes(), out + kFirst, bias == nullptr ? nullptr : bias + kFirst, last);
    } else if (count > kFirst) {
      store_some(out + kFirst, bias == nullptr ? nullptr : bias + kFirst, last, count - kFirst);
    }
  }
};

template <>
struct Row<0> {
  inline void add_products(Floats, const Row<0>&) {}
  inline void load(const float*) {}
  inline void finish(float*, const float*, int64_t) const {}
};

// The sums of the last pixel of a tile, and of those before it.
template <int kPixels, int kRegisters>
struct Sums {
  Sums<kPixels - 1, kRegisters> others;
  Row<kRegisters> last;

  __attribute__((always_inline)) inline void add_products(const float* x, int64_t step, const Row<kRegisters>& w) {
    others.add_products(x, step, w);
    last.add_products(broadcast(x + (kPixels - 1) * step), w);
  }
  __attribute__((always_inline)) inline void finish(float* out, int64_t step, const float* bias, int64_t count) const {
    others.finish(out, step, bias, count);
    last.finish(out + (kPixels - 1) * step, bias, count);
  }
};

template <int kRegisters>
struct Sums<0, kRegisters> {
  inline void add_products(const float*, int64_t, const Row<kRegisters>&) {}
  inline void finish(float*, int64_t, const float*, int64_t) const {}
};

// `count` outputs from `first` on; `channel` is the group's first.
template <int kPixels, int kBlock>
void run_tile(const ConvF32Args& args, const Group& g, const Tile& tile, const float* block, int64_t channel,
              int64_t first, int64_t count) {
  constexpr int kRegisters = kBlock / static_cast<int>(kLanes);
  const ConvF32Shape& s = args.shape;
  Sums<kPixels, kRegisters> sums;
  // Without groups the taps of a row lie side by side: one run of products.
  const int64_t taps = tile.kw.end - tile.kw.begin;
  const int64_t runs = s.groups == 1 ? 1 : taps;
  const int64_t length = s.groups == 1 ? taps * s.channels : g.channels;
  for (int64_t kh = tile.kh.begin; kh < tile.kh.end; ++kh) {
    const float* row = tile.in + (kh - tile.kh.begin) * s.window.width * s.channels + channel;
    const float* weight = block + (kh * s.window.kernel_w + tile.kw.begin) * g.channels * kBlock;
    for (int64_t r = 0; r < runs; ++r, row += s.channels) {
      for (int64_t i = 0; i < length; ++i, weight += kBlock) {
        Row<kRegisters> w;
        w.load(weight);
        sums.add_products(row + i, tile.in_step, w);
      }
    }
  }
  sums.finish(tile.out + first, tile.out_step, args.bias == nullptr ? nullptr : args.bias + first, count);
}

using RunTile = void (*)(const ConvF32Args&, const Group&, const Tile&, const float*, int64_t, int64_t, int64_t);

// The tiles of one size of block, from one pixel to as many as there may be.
template <int kMost, int kBlock>
RunTile tile_of(int64_t pixels) {
  if constexpr (kMost > 1) {
    if (pixels < kMost) {
      return tile_of<kMost - 1, kBlock>(pixels);
    }
  }
  return run_tile<kMost, kBlock>;
}

// Blocks begin to end - 1, counted over all groups.
struct Blocks {
  int64_t begin, end;
};

// `pixels` in a line, cut into tiles as even as can be.
void run_line(const ConvF32Args& args, const Group& g, Tile tile, int64_t pixels, const Blocks& blocks) {
  const int64_t most = g.block == kNarrow ? kNarrowTile : kWideTile;
  for (int64_t tiles = (pixels + most - 1) / most; tiles > 0; --tiles) {
    const int64_t size = (pixels + tiles - 1) / tiles;
    const RunTile run = g.block == kNarrow ? tile_of<kNarrowTile, kNarrow>(size) : tile_of<kWideTile, kWide>(size);
    for (int64_t block = blocks.begin; block < blocks.end; ++block) {
      const int64_t group = block / g.blocks;
      const int64_t first = block % g.blocks * g.block;
      run(args, g, tile, static_cast<const float*>(args.packed) + block * g.floats, group * g.channels,
          group * g.outputs + first, g.outputs - first);
    }
    tile.in += size * tile.in_step;
    tile.out += size * tile.out_step;
    pixels -= size;
  }
}

Tile tile_at(const ConvF32Args& args, int64_t oh, int64_t ow) {
  const ConvF32Shape& s = args.shape;
  const Window& w = s.window;
  Tile tile = {args.in,   w.stride_w * s.channels, args.out + (oh * w.out_width + ow) * s.outputs,
               s.outputs, inside_rows(w, oh),      inside_columns(w, ow)};
  if (tile.kh.begin == tile.kh.end || tile.kw.begin == tile.kw.end) {
    tile.kh.end = tile.kh.begin;  // no tap: nothing is read
    return tile;
  }
  const int64_t row = oh * w.stride_h - w.padding_h + tile.kh.begin;
  const int64_t column = ow * w.stride_w - w.padding_w + tile.kw.begin;
  tile.in += (row * w.width + column) * s.channels;
  return tile;
}

// A column at an edge, rows begin to end - 1: as long as the taps stay the same.
void run_column(const ConvF32Args& args, const Group& g, int64_t begin, int64_t end, int64_t ow, const Blocks& blocks) {
  const Window& w = args.shape.window;
  while (begin < end) {
    const Taps taps = inside_rows(w, begin);
    int64_t next = begin + 1;
    while (next < end && inside_rows(w, next).begin == taps.begin && inside_rows(w, next).end == taps.end) {
      ++next;
    }
    Tile tile = tile_at(args, begin, ow);
    tile.in_step = w.stride_h * w.width * args.shape.channels;
    tile.out_step = w.out_width * args.shape.outputs;
    run_line(args, g, tile, next - begin, blocks);
    begin = next;
  }
}

void run_blocks(const ConvF32Args& args, const Group& g, int64_t begin, int64_t end, const Blocks& blocks) {
  const Window& w = args.shape.window;
  for (int64_t ow = 0; ow < w.out_width;) {
    const int64_t next = same_columns_end(w, ow, w.out_width);
    if (next - ow == 1) {
      run_column(args, g, begin, end, ow, blocks);
    } else {
      for (int64_t oh = begin; oh < end; ++oh) {
        run_line(args, g, tile_at(args, oh, ow), next - ow, blocks);
      }
    }
    ow = next;
  }
}

void run(const ConvF32Args& args, int64_t begin, int64_t end) {
  const Group g = group_of(args.shape);
  const int64_t near = kNearFloats / g.floats > 0 ? kNearFloats / g.floats : 1;
  const int64_t blocks = args.shape.groups * g.blocks;
  ConvF32Args flat = args;
  Window& w = flat.shape.window;
  const bool one_tap = w.kernel_h == 1 && w.kernel_w == 1 && w.stride_h == 1 && w.stride_w == 1;
  if (one_tap && w.padding_h == 0 && w.padding_w == 0) {  // pixels are all alike: one long row
    flat.in += begin * w.width * args.shape.channels;
    flat.out += begin * w.width * args.shape.outputs;
    w.width = w.out_width = (end - begin) * w.width;
    w.height = w.out_height = 1;
    begin = 0;
    end = 1;
  }
  for (int64_t block = 0; block < blocks; block += near) {
    run_blocks(flat, g, begin, end, {block, block + near < blocks ? block + near : blocks});
  }
}

#endif  // REACTNET_KERNELS_CONV_F32_LANES_H_
