// Element-wise ops, one rounding for each operation written:
//   affine        y = (x * scale[c]) + shift[c]
//   add, mul      y = x + second, x * second; the second has the first's shape, or is a pixel (1, 1, C)
//   prelu         y = x >= 0 ? x : slope[c] * x
//   relu          y = x < 0 ? +0 : x
//   clip          t = x < lo ? lo : x;  y = hi < t ? hi : t
//   abs           the sign bit cleared
//   hard_sigmoid  clip((x * f32(1/6)) + 0.5, 0, 1)
//   sigmoid       as docs/format.md writes it out: no libm, the same bits everywhere
#ifndef REACTNET_KERNELS_ELEMENTWISE_ELEMENTWISE_H_
#define REACTNET_KERNELS_ELEMENTWISE_ELEMENTWISE_H_

#include <stdint.h>

#include "isa.h"
#include "kernel_list.h"

namespace reactnet {

enum class ElementwiseOp : uint8_t { kAffine, kAdd, kMul, kPrelu, kRelu, kClip, kAbs, kHardSigmoid, kSigmoid };
inline constexpr int kElementwiseOps = 9;

struct ElementwiseArgs {
  int64_t channels;
  const float* in;  // pixels * channels
  const float*
      second;  // add, mul: the second input. affine: scale; prelu: slope (both of length channels). clip: bounds (2)
  bool second_is_pixel;  // add, mul: it has one pixel only
  const float* shift;    // affine: channels
  float* out;            // pixels * channels; may be `in`, or `second` where that has the same shape
};

using ElementwiseRun = void (*)(const ElementwiseArgs& args, int64_t begin, int64_t end);  // pixels begin to end - 1

struct ElementwiseKernel {
  const char* name;
  Isa isa;
  ElementwiseRun run[kElementwiseOps];  // by ElementwiseOp
};

KernelList<ElementwiseKernel> elementwise_kernels();
const ElementwiseKernel* choose_elementwise(Isa ceiling);

#define REACTNET_KERNEL(name) extern const ElementwiseKernel name;
#include "elementwise/kernels.inc"
#undef REACTNET_KERNEL

}  // namespace reactnet

#endif  // REACTNET_KERNELS_ELEMENTWISE_ELEMENTWISE_H_
