// Pools, a channel at a time:
//   avg           s = +0; s = s + x over the inside taps in h, w order;  y = s / f32(number of inside taps)
//   max           m = first inside tap; m = x > m ? x : m for the others, in h, w order
//   adaptive_avg  as avg; bin i of o covers floor(i H / o) to ceil((i + 1) H / o) - 1. The window gives the four sizes
//   only.
// global_avg_pool is adaptive_avg to one pixel.
#ifndef REACTNET_KERNELS_POOL_POOL_H_
#define REACTNET_KERNELS_POOL_POOL_H_

#include "isa.h"
#include "kernel_list.h"
#include "window.h"

namespace reactnet {

enum class PoolOp : uint8_t { kAvg, kMax, kAdaptiveAvg };
inline constexpr int kPoolOps = 3;

struct PoolArgs {
  Window window;
  int64_t channels;
  const float* in;  // height * width * channels
  float* out;       // out_height * out_width * channels
};

using PoolRun = void (*)(const PoolArgs& args, int64_t begin, int64_t end);  // output rows begin to end - 1

struct PoolKernel {
  const char* name;
  Isa isa;
  PoolRun run[kPoolOps];  // by PoolOp
};

KernelList<PoolKernel> pool_kernels();
const PoolKernel* choose_pool(Isa ceiling);

#define REACTNET_KERNEL(name) extern const PoolKernel name;
#include "pool/kernels.inc"
#undef REACTNET_KERNEL

}  // namespace reactnet

#endif  // REACTNET_KERNELS_POOL_POOL_H_
