// sign: bit c of a pixel = (x + shift[c]) >= 0. NaN gives 0 (-1); -0.0 and 0 give 1 (+1). Tail bits are 0.
#ifndef REACTNET_KERNELS_SIGN_SIGN_H_
#define REACTNET_KERNELS_SIGN_SIGN_H_

#include <stdint.h>

#include "isa.h"
#include "kernel_list.h"

namespace reactnet {

struct SignArgs {
  int64_t channels;
  const float* in;     // pixels * channels
  const float* shift;  // channels
  uint64_t* out;       // pixels * ceil(channels / 64)
};

struct SignKernel {
  const char* name;
  Isa isa;
  void (*run)(const SignArgs& args, int64_t begin, int64_t end);  // pixels begin to end - 1
};

KernelList<SignKernel> sign_kernels();
const SignKernel* choose_sign(Isa ceiling);

#define REACTNET_KERNEL(name) extern const SignKernel name;
#include "sign/kernels.inc"
#undef REACTNET_KERNEL

}  // namespace reactnet

#endif  // REACTNET_KERNELS_SIGN_SIGN_H_
