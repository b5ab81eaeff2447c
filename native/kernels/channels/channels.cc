#include "channels/channels.h"

namespace reactnet {
namespace {

constexpr const ChannelsKernel* kKernels[] = {
#define REACTNET_KERNEL(name) &name,
#include "channels/kernels.inc"
#undef REACTNET_KERNEL
};

}  // namespace

KernelList<ChannelsKernel> channels_kernels() { return {kKernels, sizeof(kKernels) / sizeof(kKernels[0])}; }

const ChannelsKernel* choose_channels(Isa ceiling) {
  for (const ChannelsKernel* kernel : channels_kernels()) {
    if (isa_allowed(kernel->isa, ceiling)) {
      return kernel;
    }
  }
  return nullptr;  // not reached: the list ends with a scalar kernel
}

}  // namespace reactnet
