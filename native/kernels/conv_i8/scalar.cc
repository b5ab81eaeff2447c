// Packed weights: groups x blocks of outputs x kh x kw x ci x kBlock as int16, the last block of a group filled up with
// zeros.
#include <string.h>

#include "conv_i8/conv_i8.h"

namespace reactnet {
namespace {

constexpr int64_t kBlock = 8;

struct Group {
  int64_t channels, outputs, blocks, block_numbers;
};

Group group_of(const ConvI8Shape& s) {
  const int64_t outputs = s.outputs / s.groups;
  const int64_t channels = s.channels / s.groups;
  return {channels, outputs, (outputs + kBlock - 1) / kBlock,
          s.window.kernel_h * s.window.kernel_w * channels * kBlock};
}

bool supports(const ConvI8Shape&) { return true; }

uint64_t packed_bytes(const ConvI8Shape& s) {
  const Group g = group_of(s);
  return static_cast<uint64_t>(s.groups * g.blocks * g.block_numbers) * sizeof(int16_t);
}

void pack(const ConvI8Shape& s, const int8_t* weight, void* packed) {
  const Group g = group_of(s);
  int16_t* out = static_cast<int16_t*>(packed);
  memset(out, 0, packed_bytes(s));
  const int64_t per_output = s.window.kernel_h * s.window.kernel_w * g.channels;
  for (int64_t o = 0; o < s.outputs; ++o) {
    const int64_t in_group = o % g.outputs;
    int16_t* block = out + (o / g.outputs * g.blocks + in_group / kBlock) * g.block_numbers + in_group % kBlock;
    for (int64_t i = 0; i < per_output; ++i) {
      block[i * kBlock] = weight[o * per_output + i];
    }
  }
}

void accumulate(int32_t* acc, const int8_t* __restrict x, const int16_t* __restrict w, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const int16_t v = x[i];
    for (int64_t j = 0; j < kBlock; ++j) {
      acc[j] += v * w[i * kBlock + j];
    }
  }
}

void block_at(const ConvI8Args& args, const Group& g, const int16_t* weight, int64_t oh, int64_t ow,
              int64_t first_channel, int32_t* acc) {
  const ConvI8Shape& s = args.shape;
  const Window& w = s.window;
  const Taps rows = inside_rows(w, oh);
  const Taps columns = inside_columns(w, ow);
  for (int64_t kh = rows.begin; kh < rows.end; ++kh) {
    for (int64_t kw = columns.begin; kw < columns.end; ++kw) {
      const int64_t ih = oh * w.stride_h - w.padding_h + kh;
      const int64_t iw = ow * w.stride_w - w.padding_w + kw;
      const int8_t* x = args.in + (ih * w.width + iw) * s.channels + first_channel;
      accumulate(acc, x, weight + (kh * w.kernel_w + kw) * g.channels * kBlock, g.channels);
    }
  }
}

void run_pixel(const ConvI8Args& args, const Group& g, int64_t oh, int64_t ow) {
  const ConvI8Shape& s = args.shape;
  float* out = args.out + (oh * s.window.out_width + ow) * s.outputs;
  for (int64_t group = 0; group < s.groups; ++group) {
    for (int64_t block = 0; block < g.blocks; ++block) {
      int32_t acc[kBlock] = {};
      const int16_t* weight = static_cast<const int16_t*>(args.packed) + (group * g.blocks + block) * g.block_numbers;
      block_at(args, g, weight, oh, ow, group * g.channels, acc);
      const int64_t left = g.outputs - block * kBlock;
      for (int64_t j = 0; j < (left < kBlock ? left : kBlock); ++j) {
        const int64_t o = group * g.outputs + block * kBlock + j;
        const float y = (static_cast<float>(acc[j]) * *args.in_scale) * args.scale[o];
        out[o] = y + args.bias[o];
      }
    }
  }
}

void run(const ConvI8Args& args, int64_t begin, int64_t end) {
  const Group g = group_of(args.shape);
  for (int64_t oh = begin; oh < end; ++oh) {
    for (int64_t ow = 0; ow < args.shape.window.out_width; ++ow) {
      run_pixel(args, g, oh, ow);
    }
  }
}

}  // namespace

constexpr ConvI8Kernel conv_i8_scalar = {"conv_i8_scalar", Isa::kScalar, supports, packed_bytes, pack, run};

}  // namespace reactnet
