// quantize, an image at a time, in two passes: m = +0; for each element a = |x|: m = a > m ? a : m.   Then
//   m = 0: q = 0, scale = +0.   Else inv = 127 / m;  t = x * inv;  t = t > -127 ? t : -127;  t = t < 127 ? t : 127;
//   q = rint(t), a half to even; scale = m / 127.
// A NaN never exceeds m; its q is -127. The maximum does not depend on the order, so threads may each take a part.
#ifndef REACTNET_KERNELS_QUANTIZE_QUANTIZE_H_
#define REACTNET_KERNELS_QUANTIZE_QUANTIZE_H_

#include <stdint.h>

#include "isa.h"
#include "kernel_list.h"

namespace reactnet {

struct QuantizeArgs {
  const float* in;
  float max;  // m of the whole image
  int8_t* out;
  float* scale;  // one; written by the call whose begin is 0
};

struct QuantizeKernel {
  const char* name;
  Isa isa;
  float (*max_abs)(const float* in, int64_t begin, int64_t end);      // of elements begin to end - 1
  void (*run)(const QuantizeArgs& args, int64_t begin, int64_t end);  // elements begin to end - 1
};

KernelList<QuantizeKernel> quantize_kernels();
const QuantizeKernel* choose_quantize(Isa ceiling);

#define REACTNET_KERNEL(name) extern const QuantizeKernel name;
#include "quantize/kernels.inc"
#undef REACTNET_KERNEL

}  // namespace reactnet

#endif  // REACTNET_KERNELS_QUANTIZE_QUANTIZE_H_
