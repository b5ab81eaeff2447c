// How stages go over a map: in blocks of a few hundred elements, all stages on one block before the next, so that only
// the first input, the seconds and the result meet the memory. Shared by the kernels; functions are static: an ISA file
// keeps its copy.
#ifndef REACTNET_KERNELS_ELEMENTWISE_BLOCKS_H_
#define REACTNET_KERNELS_ELEMENTWISE_BLOCKS_H_

#include "elementwise/elementwise.h"

namespace reactnet {

inline constexpr int64_t kBlockFloats = 512;  // a multiple of 64, so that blocks begin at words of bits

// One stage on one block: some pixels whole, or some channels of one pixel. Steps are floats from pixel to pixel.
struct ElementwiseBlock {
  const float* in;
  int64_t in_step;
  const float* second;  // from the block's first channel on; clip: its bounds
  int64_t second_step;
  const float* shift;
  float* out;
  int64_t out_step;
  int64_t pixels, channels;
};

using ElementwiseBlockRun = void (*)(const ElementwiseBlock& block);
using ElementwiseSignRun = void (*)(const float* in, int64_t in_step, int64_t pixels, const float* shift,
                                    int64_t channels, uint64_t* out, int64_t words);

struct ElementwiseRuns {
  ElementwiseBlockRun stage[kElementwiseOps];  // by ElementwiseOp
  ElementwiseSignRun sign;
};

// Pixels p to p + pixels - 1, channels c to c + channels - 1.
static inline void run_elementwise_block(const ElementwiseArgs& args, const ElementwiseRuns& runs, int64_t p,
                                         int64_t pixels, int64_t c, int64_t channels) {
  float buffer[kBlockFloats];
  const int64_t place = p * args.channels + c;
  const float* in = args.in + place;
  int64_t in_step = args.channels;
  for (int64_t i = 0; i < args.count; ++i) {
    const ElementwiseStage& stage = args.stages[i];
    // A later stage may read what `out` lies on, so only the last one writes there.
    const bool last = i + 1 == args.count && args.out != nullptr;
    ElementwiseBlock block = {in,
                              in_step,
                              stage.second,
                              0,
                              stage.shift == nullptr ? nullptr : stage.shift + c,
                              last ? args.out + place : buffer,
                              last ? args.channels : channels,
                              pixels,
                              channels};
    const bool whole = (stage.op == ElementwiseOp::kAdd || stage.op == ElementwiseOp::kMul) && !stage.second_is_pixel;
    if (whole) {
      block.second += place;
      block.second_step = args.channels;
    } else if (stage.second != nullptr && stage.op != ElementwiseOp::kClip) {
      block.second += c;
    }
    runs.stage[static_cast<int>(stage.op)](block);
    in = block.out;
    in_step = block.out_step;
  }
  const int64_t words = (args.channels + 63) / 64;
  if (args.out_bits != nullptr) {
    runs.sign(in, in_step, pixels, args.next_shift + c, channels, args.out_bits + p * words + c / 64, words);
  }
}

static inline void run_elementwise(const ElementwiseArgs& args, const ElementwiseRuns& runs, int64_t begin,
                                   int64_t end) {
  const int64_t most = args.channels < kBlockFloats ? kBlockFloats / args.channels : 1;
  for (int64_t p = begin; p < end; p += most) {
    const int64_t pixels = end - p < most ? end - p : most;
    for (int64_t c = 0; c < args.channels; c += kBlockFloats) {
      const int64_t left = args.channels - c;
      run_elementwise_block(args, runs, p, pixels, c, left < kBlockFloats ? left : kBlockFloats);
    }
  }
}

}  // namespace reactnet

#endif  // REACTNET_KERNELS_ELEMENTWISE_BLOCKS_H_
