// Packed weights, all int32: blocks of outputs x kh x kw x (the offset, then C weights) x kBlock, the last block filled
// up with zeros. The offset is one more channel, negated, whose input is 1.
#include <string.h>

#include "conv_u8/conv_u8.h"

namespace reactnet {
namespace {

constexpr int64_t kBlock = 8;

int64_t blocks_of(const ConvU8Shape& s) { return (s.outputs + kBlock - 1) / kBlock; }
int64_t tap_numbers(const ConvU8Shape& s) { return (s.channels + 1) * kBlock; }
int64_t block_numbers(const ConvU8Shape& s) { return s.window.kernel_h * s.window.kernel_w * tap_numbers(s); }

bool supports(const ConvU8Shape&) { return true; }

uint64_t packed_bytes(const ConvU8Shape& s) {
  return static_cast<uint64_t>(blocks_of(s) * block_numbers(s)) * sizeof(int32_t);
}

void pack(const ConvU8Shape& s, const void* weight, const int32_t* offset, void* packed) {
  int32_t* out = static_cast<int32_t*>(packed);
  memset(out, 0, packed_bytes(s));
  const int64_t taps = s.window.kernel_h * s.window.kernel_w;
  for (int64_t o = 0; o < s.outputs; ++o) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      int32_t* lane = out + o / kBlock * block_numbers(s) + tap * tap_numbers(s) + o % kBlock;
      lane[0] = -offset[o * taps + tap];
      for (int64_t c = 0; c < s.channels; ++c) {
        const int64_t i = (o * taps + tap) * s.channels + c;
        lane[(c + 1) * kBlock] =
            s.weight_bits == 8 ? static_cast<const int8_t*>(weight)[i] : static_cast<const int16_t*>(weight)[i];
      }
    }
  }
}

void accumulate(int32_t* acc, const uint8_t* __restrict x, const int32_t* __restrict tap, int64_t channels) {
  for (int64_t j = 0; j < kBlock; ++j) {
    acc[j] += tap[j];
  }
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t j = 0; j < kBlock; ++j) {
      acc[j] += x[c] * tap[(c + 1) * kBlock + j];
    }
  }
}

void run_block(const ConvU8Args& args, int64_t block, int64_t oh, int64_t ow) {
  const ConvU8Shape& s = args.shape;
  const Window& w = s.window;
  const Taps rows = inside_rows(w, oh);
  const Taps columns = inside_columns(w, ow);
  const int32_t* weight = static_cast<const int32_t*>(args.packed) + block * block_numbers(s);
  int32_t acc[kBlock] = {};
  for (int64_t kh = rows.begin; kh < rows.end; ++kh) {
    for (int64_t kw = columns.begin; kw < columns.end; ++kw) {
      const int64_t ih = oh * w.stride_h - w.padding_h + kh;
      const int64_t iw = ow * w.stride_w - w.padding_w + kw;
      accumulate(acc, args.in + (ih * w.width + iw) * s.channels, weight + (kh * w.kernel_w + kw) * tap_numbers(s),
                 s.channels);
    }
  }
  float* out = args.out + (oh * w.out_width + ow) * s.outputs;
  for (int64_t o = block * kBlock; o < s.outputs && o < (block + 1) * kBlock; ++o) {
    const float y = static_cast<float>(acc[o % kBlock]) * args.scale[o];
    out[o] = y + args.bias[o];
  }
}

void run(const ConvU8Args& args, int64_t begin, int64_t end) {
  for (int64_t oh = begin; oh < end; ++oh) {
    for (int64_t ow = 0; ow < args.shape.window.out_width; ++ow) {
      for (int64_t block = 0; block < blocks_of(args.shape); ++block) {
        run_block(args, block, oh, ow);
      }
    }
  }
}

}  // namespace

constexpr ConvU8Kernel conv_u8_scalar = {"conv_u8_scalar", Isa::kScalar, supports, packed_bytes, pack, run};

}  // namespace reactnet
