// conv_i8 in registers of 128 bits. Patches of a group of pixels are gathered once; then each block of sixteen outputs
// goes over the group in tiles of kTile pixels, so that its weights are read from memory once a group.
//
// Packed weights: groups x blocks of 16 outputs x steps of products (products128.h); what is past the last output of a
// group, or past the last product, is zero.
//
// An ISA's file includes this inside its own anonymous namespace, behind products128.h, kTile and `P`.
#ifndef REACTNET_KERNELS_CONV_I8_LANES128_H_
#define REACTNET_KERNELS_CONV_I8_LANES128_H_

using Number = P::Number;

constexpr int kRegisters = 4;
constexpr int64_t kBlock = kRegisters * 4;
constexpr int64_t kGroup = 24;                        // pixels, if their patches fit
constexpr int64_t kScratch = 32768 / sizeof(Number);  // numbers: a first-level cache

struct Part {  // one group of channels and outputs
  int64_t channels, outputs, blocks, products, steps;
};

Part part_of(const ConvI8Shape& s) {
  const int64_t outputs = s.outputs / s.groups;
  const int64_t channels = s.channels / s.groups;
  const int64_t products = s.window.kernel_h * s.window.kernel_w * channels;
  return {channels, outputs, (outputs + kBlock - 1) / kBlock, products, (products + P::kStep - 1) / P::kStep};
}

int64_t patch_stride(const Part& p) { return p.steps * P::kStep; }
int64_t block_numbers(const Part& p) { return p.steps * P::kStep * kBlock; }

// Small groups would leave most lanes empty.
bool supports(const ConvI8Shape& s) {
  return patch_stride(part_of(s)) * kTile <= kScratch && (s.groups == 1 || s.outputs / s.groups >= 8);
}

uint64_t packed_bytes(const ConvI8Shape& s) {
  const Part p = part_of(s);
  return static_cast<uint64_t>(s.groups * p.blocks * block_numbers(p)) * sizeof(Number);
}

void pack(const ConvI8Shape& s, const int8_t* weight, void* packed) {
  const Part p = part_of(s);
  memset(packed, 0, packed_bytes(s));
  for (int64_t o = 0; o < s.outputs; ++o) {
    const int64_t in_group = o % p.outputs;
    const int64_t block = o / p.outputs * p.blocks + in_group / kBlock;
    Number* out = static_cast<Number*>(packed) + block * block_numbers(p);
    for (int64_t i = 0; i < p.products; ++i) {
      out[place_in_block<P>(kRegisters, in_group % kBlock, i)] = weight[o * p.products + i];
    }
  }
}

void gather(const ConvI8Args& args, const Part& p, int64_t group, Position at, Number* patch) {
  memset(patch, 0, static_cast<size_t>(patch_stride(p)) * sizeof(Number));
  const ChannelRange range = {args.shape.channels, group * p.channels, p.channels};
  each_run(args.shape.window, at, range, [&](int64_t to, int64_t from, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      patch[to + i] = args.in[from + i];
    }
  });
}

// Outputs o to o + count - 1 of a pixel: y = ((f32(acc) * s) * scale) + bias.
void finish(const ConvI8Args& args, int64_t pixel, int64_t o, int64_t count, const int32_t* sums) {
  const Floats in_scale = broadcast(args.in_scale);
  float* out = args.out + pixel * args.shape.outputs + o;
  each_register(count < kBlock ? count : kBlock, [&](const auto& lanes, int64_t i) {
    const Floats y = multiply(multiply(to_floats(load_sums(sums + i)), in_scale), lanes.load(args.scale + o + i));
    lanes.store(out + i, add(y, lanes.load(args.bias + o + i)));
  });
}

void run_group(const ConvI8Args& args, const Part& p, int64_t group, int64_t index, int64_t count,
               const Number* patches) {
  static constexpr int32_t kZeros[kBlock] = {};
  const int64_t stride = patch_stride(p);
  int32_t sums[kTile * kBlock];
  for (int64_t block = 0; block < p.blocks; ++block) {
    const Number* weight = static_cast<const Number*>(args.packed) + (group * p.blocks + block) * block_numbers(p);
    const int64_t o = group * p.outputs + block * kBlock;
    for (int64_t begin = 0; begin < count; begin += kTile) {
      const int64_t pixels = count - begin < kTile ? count - begin : kTile;
      sum_patches<P, kTile, kRegisters>(pixels, patches + begin * stride, stride, weight, p.steps, kZeros, 0, sums);
      for (int64_t m = 0; m < pixels; ++m) {
        finish(args, index + begin + m, o, p.outputs - block * kBlock, sums + m * kBlock);
      }
    }
  }
}

void run(const ConvI8Args& args, int64_t begin, int64_t end) {
  const Part p = part_of(args.shape);
  const Window& w = args.shape.window;
  const int64_t last = end * w.out_width;
  const int64_t fit = kScratch / patch_stride(p) / kTile * kTile;
  const int64_t most = fit < kGroup ? fit : kGroup;
  Number patches[kScratch];
  for (int64_t index = begin * w.out_width; index < last; index += most) {
    const int64_t count = last - index < most ? last - index : most;
    for (int64_t group = 0; group < args.shape.groups; ++group) {
      Position at = position_at(w, index);
      for (int64_t m = 0; m < count; ++m, at = next_position(w, at)) {
        gather(args, p, group, at, patches + m * patch_stride(p));
      }
      run_group(args, p, group, index, count, patches);
    }
  }
}

#endif  // REACTNET_KERNELS_CONV_I8_LANES128_H_
