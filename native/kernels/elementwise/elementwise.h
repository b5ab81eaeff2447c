// Element-wise ops, any number of them one behind the other in one pass, and a sign behind the last:
//   affine        y = (x * scale[c]) + shift[c]
//   add, mul      y = x + second, x * second; the second has the first's shape, or is a pixel (1, 1, C)
//   prelu         y = x >= 0 ? x : slope[c] * x
//   relu          y = x < 0 ? +0 : x
//   clip          t = x < lo ? lo : x;  y = hi < t ? hi : t
//   abs           the sign bit cleared
//   hard_sigmoid  clip((x * f32(1/6)) + 0.5, 0, 1)
//   sigmoid       as docs/format.md writes it out: no libm, the same bits everywhere
//   sign          bit c of a pixel = (y + next_shift[c]) >= 0; tail bits are 0
// One rounding for each operation written.
#ifndef REACTNET_KERNELS_ELEMENTWISE_ELEMENTWISE_H_
#define REACTNET_KERNELS_ELEMENTWISE_ELEMENTWISE_H_

#include <stdint.h>

#include "isa.h"
#include "kernel_list.h"

namespace reactnet {

enum class ElementwiseOp : uint8_t { kAffine, kAdd, kMul, kPrelu, kRelu, kClip, kAbs, kHardSigmoid, kSigmoid };
inline constexpr int kElementwiseOps = 9;

struct ElementwiseStage {
  ElementwiseOp op;
  const float* second;   // add, mul: the second input. affine: scale; prelu: slope (channels). clip: bounds (2)
  bool second_is_pixel;  // add, mul: it has one pixel only
  const float* shift;    // affine: channels
};

struct ElementwiseArgs {
  int64_t channels;
  const float* in;                 // pixels * channels
  const ElementwiseStage* stages;  // in order
  int64_t count;                   // of stages; may be 0
  float* out;                      // pixels * channels, or null; may be `in`, or a second of that shape
  const float* next_shift;         // channels; given with out_bits
  uint64_t* out_bits;              // pixels * ceil(channels / 64), or null
};

struct ElementwiseKernel {
  const char* name;
  Isa isa;
  void (*run)(const ElementwiseArgs& args, int64_t begin, int64_t end);  // pixels begin to end - 1
};

KernelList<ElementwiseKernel> elementwise_kernels();
const ElementwiseKernel* choose_elementwise(Isa ceiling);

#define REACTNET_KERNEL(name) extern const ElementwiseKernel name;
#include "elementwise/kernels.inc"
#undef REACTNET_KERNEL

}  // namespace reactnet

#endif  // REACTNET_KERNELS_ELEMENTWISE_ELEMENTWISE_H_
