// Ops that only move channels, all by one copy:
//   out[p, t * count + c] = in[p, c]   for t < times, c < count
// where a pixel of `in` has in_stride elements, and one of `out` has out_stride.
//   concat: a call for each input, `out` moved on by the channels before it, times = 1
//   slice:  `in` moved on by begin, count = end - begin, times = 1
//   repeat: count = C, times = times
#ifndef REACTNET_KERNELS_CHANNELS_CHANNELS_H_
#define REACTNET_KERNELS_CHANNELS_CHANNELS_H_

#include <stdint.h>

#include "isa.h"
#include "kernel_list.h"

namespace reactnet {

struct ChannelsArgs {
  const float* in;
  int64_t in_stride;
  float* out;
  int64_t out_stride;
  int64_t count;
  int64_t times;
};

struct ChannelsKernel {
  const char* name;
  Isa isa;
  void (*run)(const ChannelsArgs& args, int64_t begin, int64_t end);  // pixels begin to end - 1
};

KernelList<ChannelsKernel> channels_kernels();
const ChannelsKernel* choose_channels(Isa ceiling);

#define REACTNET_KERNEL(name) extern const ChannelsKernel name;
#include "channels/kernels.inc"
#undef REACTNET_KERNEL

}  // namespace reactnet

#endif  // REACTNET_KERNELS_CHANNELS_CHANNELS_H_
