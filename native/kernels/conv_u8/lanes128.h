// conv_u8 in registers of 128 bits, as conv_i8/lanes128.h. Where numbers are bytes, a pixel x is taken as x - 128, and
// 128 times a tap's weights are taken from its offset: sums wrap on the way, and are exact in the end, since the format
// keeps them within int32.
//
// Packed: minus the sum of an output's offsets; the offsets by tap; then the weights (products128.h). Everything past
// the last output or product is zero.
//
// An ISA's file includes this inside its own anonymous namespace, behind products128.h, kTile and `P`.
#ifndef REACTNET_KERNELS_CONV_U8_LANES128_H_
#define REACTNET_KERNELS_CONV_U8_LANES128_H_

using Number = P::Number;

constexpr int kRegisters = 4;
constexpr int64_t kBlock = kRegisters * 4;
constexpr int64_t kGroup = 24;                        // pixels, if their patches fit
constexpr int64_t kScratch = 32768 / sizeof(Number);  // numbers: a first-level cache
constexpr bool kBytes = sizeof(Number) == 1;
constexpr int kMiddle = kBytes ? 128 : 0;

int64_t taps_of(const ConvU8Shape& s) { return s.window.kernel_h * s.window.kernel_w; }
int64_t steps_of(const ConvU8Shape& s) { return (taps_of(s) * s.channels + P::kStep - 1) / P::kStep; }
int64_t patch_stride(const ConvU8Shape& s) { return steps_of(s) * P::kStep; }
int64_t padded_outputs(const ConvU8Shape& s) { return (s.outputs + kBlock - 1) / kBlock * kBlock; }

bool supports(const ConvU8Shape& s) { return patch_stride(s) * kTile <= kScratch && (!kBytes || s.weight_bits == 8); }

uint64_t packed_bytes(const ConvU8Shape& s) {
  const int64_t numbers = padded_outputs(s) * patch_stride(s);
  return static_cast<uint64_t>(padded_outputs(s) * (1 + taps_of(s)) * 4) +
         static_cast<uint64_t>(numbers) * sizeof(Number);
}

int32_t weight_at(const ConvU8Shape& s, const void* weight, int64_t i) {
  return s.weight_bits == 8 ? static_cast<const int8_t*>(weight)[i] : static_cast<const int16_t*>(weight)[i];
}

void pack(const ConvU8Shape& s, const void* weight, const int32_t* offset, void* packed) {
  memset(packed, 0, packed_bytes(s));
  const int64_t taps = taps_of(s);
  uint32_t* base = static_cast<uint32_t*>(packed);
  uint32_t* by_tap = base + padded_outputs(s);
  Number* weights = reinterpret_cast<Number*>(by_tap + taps * padded_outputs(s));
  for (int64_t o = 0; o < s.outputs; ++o) {
    Number* block = weights + o / kBlock * kBlock * patch_stride(s);
    for (int64_t tap = 0; tap < taps; ++tap) {
      uint32_t taken = static_cast<uint32_t>(offset[o * taps + tap]);
      for (int64_t i = tap * s.channels; i < (tap + 1) * s.channels; ++i) {
        const int32_t w = weight_at(s, weight, o * taps * s.channels + i);
        block[place_in_block<P>(kRegisters, o % kBlock, i)] = static_cast<Number>(w);
        taken -= static_cast<uint32_t>(kMiddle * w);
      }
      base[o] -= taken;
      by_tap[tap * padded_outputs(s) + o] = taken;
    }
  }
}

void gather(const ConvU8Args& args, Position at, Number* patch) {
  const int64_t channels = args.shape.channels;
  memset(patch, 0, static_cast<size_t>(patch_stride(args.shape)) * sizeof(Number));
  each_run(args.shape.window, at, {channels, 0, channels}, [&](int64_t to, int64_t from, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      patch[to + i] = static_cast<Number>(args.in[from + i] - kMiddle);
    }
  });
}

// Where the sums of a block begin for the pixel at `p`: minus the offsets of the taps inside.
void begin_sums(const ConvU8Shape& s, Position p, const int32_t* base, int32_t* start) {
  const Taps rows = inside_rows(s.window, p.oh);
  const Taps columns = inside_columns(s.window, p.ow);
  const int32_t* by_tap = base + padded_outputs(s);
  memcpy(start, base, kBlock * sizeof(int32_t));
  for (int64_t tap = 0; tap < taps_of(s); ++tap, by_tap += padded_outputs(s)) {
    const int64_t row = tap / s.window.kernel_w;
    const int64_t column = tap % s.window.kernel_w;
    if (row >= rows.begin && row < rows.end && column >= columns.begin && column < columns.end) {
      continue;
    }
    for (int64_t i = 0; i < kBlock; i += 4) {
      store_sums(start + i, add_sums(load_sums(start + i), load_sums(by_tap + i)));
    }
  }
}

// Outputs o and on of a pixel: y = (f32(acc) * scale) + bias.
void finish(const ConvU8Args& args, Position p, int64_t o, const int32_t* sums) {
  const int64_t left = args.shape.outputs - o;
  float* out = args.out + (p.oh * args.shape.window.out_width + p.ow) * args.shape.outputs + o;
  each_register(left < kBlock ? left : kBlock, [&](const auto& lanes, int64_t i) {
    const Floats y = multiply(to_floats(load_sums(sums + i)), lanes.load(args.scale + o + i));
    lanes.store(out + i, add(y, lanes.load(args.bias + o + i)));
  });
}

// All outputs of `count` pixels, the first of which is at `p`.
void run_group(const ConvU8Args& args, const Whole& whole, Position p, int64_t count, const Number* patches) {
  const ConvU8Shape& s = args.shape;
  const int32_t* base = static_cast<const int32_t*>(args.packed);
  const Number* weights = reinterpret_cast<const Number*>(base + (1 + taps_of(s)) * padded_outputs(s));
  const int64_t stride = patch_stride(s);
  int32_t start[kTile * kBlock];
  int32_t sums[kTile * kBlock];
  for (int64_t begin = 0; begin < count; begin += kTile) {
    const int64_t pixels = count - begin < kTile ? count - begin : kTile;
    Position at[kTile];
    bool easy = true;
    for (int64_t m = 0; m < pixels; ++m, p = next_position(s.window, p)) {
      at[m] = p;
      easy = easy && whole.has(p);
    }
    for (int64_t o = 0; o < s.outputs; o += kBlock) {
      for (int64_t m = 0; !easy && m < pixels; ++m) {
        begin_sums(s, at[m], base + o, start + m * kBlock);
      }
      sum_patches<P, kTile, kRegisters>(pixels, patches + begin * stride, stride, weights + o * stride, steps_of(s),
                                        easy ? base + o : start, easy ? 0 : kBlock, sums);
      for (int64_t m = 0; m < pixels; ++m) {
        finish(args, at[m], o, sums + m * kBlock);
      }
    }
  }
}

void run(const ConvU8Args& args, int64_t begin, int64_t end) {
  const Window& w = args.shape.window;
  const Whole whole = whole_of(w);
  const int64_t stride = patch_stride(args.shape);
  const int64_t fit = kScratch / stride / kTile * kTile;
  const int64_t most = fit < kGroup ? fit : kGroup;
  Number patches[kScratch];
  Position p = {begin, 0};
  for (int64_t left = (end - begin) * w.out_width; left > 0; left -= most) {
    const int64_t count = left < most ? left : most;
    const Position first = p;
    for (int64_t m = 0; m < count; ++m, p = next_position(w, p)) {
      gather(args, p, patches + m * stride);
    }
    run_group(args, whole, first, count, patches);
  }
}

#endif  // REACTNET_KERNELS_CONV_U8_LANES128_H_
