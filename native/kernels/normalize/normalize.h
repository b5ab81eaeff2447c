// normalize: y = table[x, c].
#ifndef REACTNET_KERNELS_NORMALIZE_NORMALIZE_H_
#define REACTNET_KERNELS_NORMALIZE_NORMALIZE_H_

#include <stdint.h>

#include "isa.h"
#include "kernel_list.h"

namespace reactnet {

struct NormalizeArgs {
  int64_t channels;
  const uint8_t* in;   // pixels * channels
  const float* table;  // 256 * channels
  float* out;          // pixels * channels
};

struct NormalizeKernel {
  const char* name;
  Isa isa;
  void (*run)(const NormalizeArgs& args, int64_t begin, int64_t end);  // pixels begin to end - 1
};

KernelList<NormalizeKernel> normalize_kernels();
const NormalizeKernel* choose_normalize(Isa ceiling);

#define REACTNET_KERNEL(name) extern const NormalizeKernel name;
#include "normalize/kernels.inc"
#undef REACTNET_KERNEL

}  // namespace reactnet

#endif  // REACTNET_KERNELS_NORMALIZE_NORMALIZE_H_
