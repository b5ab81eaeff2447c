// Packed weights: groups x blocks of outputs x kh x kw x ci x kBlock, the last block of a group filled up with zeros;
// depthwise ones (one input and one output a group): kh x kw x channel. The inner loops run over outputs, for the
// compiler to vectorise.
#include <string.h>

#include "conv_f32/conv_f32.h"

namespace reactnet {
namespace {

constexpr int64_t kBlock = 8;

struct Group {
  int64_t channels, outputs, blocks, block_floats;
};

Group group_of(const ConvF32Shape& s) {
  const int64_t outputs = s.outputs / s.groups;
  const int64_t channels = s.channels / s.groups;
  return {channels, outputs, (outputs + kBlock - 1) / kBlock,
          s.window.kernel_h * s.window.kernel_w * channels * kBlock};
}

bool depthwise(const ConvF32Shape& s) { return s.groups > 1 && s.channels == s.groups && s.outputs == s.groups; }

bool supports(const ConvF32Shape&) { return true; }

uint64_t packed_bytes(const ConvF32Shape& s) {
  const Group g = group_of(s);
  const int64_t taps = s.window.kernel_h * s.window.kernel_w;
  return static_cast<uint64_t>(depthwise(s) ? taps * s.channels : s.groups * g.blocks * g.block_floats) * sizeof(float);
}

void pack(const ConvF32Shape& s, const float* weight, void* packed) {
  const Group g = group_of(s);
  float* out = static_cast<float*>(packed);
  memset(out, 0, packed_bytes(s));
  const int64_t per_output = s.window.kernel_h * s.window.kernel_w * g.channels;
  for (int64_t o = 0; o < s.outputs; ++o) {
    const int64_t in_group = o % g.outputs;
    float* block = out + (o / g.outputs * g.blocks + in_group / kBlock) * g.block_floats + in_group % kBlock;
    for (int64_t i = 0; i < per_output; ++i) {
      (depthwise(s) ? out[i * s.channels + o] : block[i * kBlock]) = weight[o * per_output + i];
    }
  }
}

// acc[j] += x[i] * w[i][j] for i in order, kBlock sums side by side.
void accumulate(float* acc, const float* __restrict x, const float* __restrict w, int64_t count) {
  float sum[kBlock];
  memcpy(sum, acc, sizeof(sum));
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < kBlock; ++j) {
      sum[j] = sum[j] + x[i] * w[i * kBlock + j];
    }
  }
  memcpy(acc, sum, sizeof(sum));
}

void block_at(const ConvF32Args& args, const Group& g, const float* weight, int64_t oh, int64_t ow,
              int64_t first_channel, float* acc) {
  const ConvF32Shape& s = args.shape;
  const Window& w = s.window;
  const Taps rows = inside_rows(w, oh);
  const Taps columns = inside_columns(w, ow);
  for (int64_t kh = rows.begin; kh < rows.end; ++kh) {
    const int64_t ih = oh * w.stride_h - w.padding_h + kh;
    const int64_t iw = ow * w.stride_w - w.padding_w + columns.begin;
    const float* x = args.in + (ih * w.width + iw) * s.channels + first_channel;
    const float* tap = weight + (kh * w.kernel_w + columns.begin) * g.channels * kBlock;
    const int64_t taps = columns.end - columns.begin;
    if (s.groups == 1) {  // the taps of a row are one run of memory
      accumulate(acc, x, tap, taps * g.channels);
      continue;
    }
    for (int64_t i = 0; i < taps; ++i) {
      accumulate(acc, x + i * s.channels, tap + i * g.channels * kBlock, g.channels);
    }
  }
}

void run_pixel(const ConvF32Args& args, const Group& g, int64_t oh, int64_t ow) {
  const ConvF32Shape& s = args.shape;
  float* out = args.out + (oh * s.window.out_width + ow) * s.outputs;
  for (int64_t group = 0; group < s.groups; ++group) {
    for (int64_t block = 0; block < g.blocks; ++block) {
      float acc[kBlock] = {};
      const float* weight = static_cast<const float*>(args.packed) + (group * g.blocks + block) * g.block_floats;
      block_at(args, g, weight, oh, ow, group * g.channels, acc);
      const int64_t first = group * g.outputs + block * kBlock;
      const int64_t left = g.outputs - block * kBlock;
      for (int64_t j = 0; j < (left < kBlock ? left : kBlock); ++j) {
        out[first + j] = args.bias == nullptr ? acc[j] : acc[j] + args.bias[first + j];
      }
    }
  }
}

void run_depthwise_pixel(const ConvF32Args& args, int64_t oh, int64_t ow) {
  const Window& w = args.shape.window;
  const int64_t channels = args.shape.channels;
  const Taps rows = inside_rows(w, oh);
  const Taps columns = inside_columns(w, ow);
  float* __restrict out = args.out + (oh * w.out_width + ow) * channels;
  memset(out, 0, static_cast<size_t>(channels) * sizeof(float));
  for (int64_t kh = rows.begin; kh < rows.end; ++kh) {
    for (int64_t kw = columns.begin; kw < columns.end; ++kw) {
      const int64_t ih = oh * w.stride_h - w.padding_h + kh;
      const int64_t iw = ow * w.stride_w - w.padding_w + kw;
      const float* __restrict x = args.in + (ih * w.width + iw) * channels;
      const float* __restrict tap = static_cast<const float*>(args.packed) + (kh * w.kernel_w + kw) * channels;
      for (int64_t c = 0; c < channels; ++c) {
        out[c] = out[c] + x[c] * tap[c];
      }
    }
  }
  for (int64_t c = 0; args.bias != nullptr && c < channels; ++c) {
    out[c] = out[c] + args.bias[c];
  }
}

void run(const ConvF32Args& args, int64_t begin, int64_t end) {
  const Group g = group_of(args.shape);
  for (int64_t oh = begin; oh < end; ++oh) {
    for (int64_t ow = 0; ow < args.shape.window.out_width; ++ow) {
      if (depthwise(args.shape)) {
        run_depthwise_pixel(args, oh, ow);
      } else {
        run_pixel(args, g, oh, ow);
      }
    }
  }
}

}  // namespace

constexpr ConvF32Kernel conv_f32_scalar = {"conv_f32_scalar", Isa::kScalar, supports, packed_bytes, pack, run};

}  // namespace reactnet
