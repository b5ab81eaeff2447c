#include "conv_u8/conv_u8.h"

namespace reactnet {
namespace {

constexpr const ConvU8Kernel* kKernels[] = {
#define REACTNET_KERNEL(name) &name,
#include "conv_u8/kernels.inc"
#undef REACTNET_KERNEL
};

}  // namespace

KernelList<ConvU8Kernel> conv_u8_kernels() { return {kKernels, sizeof(kKernels) / sizeof(kKernels[0])}; }

const ConvU8Kernel* choose_conv_u8(const ConvU8Shape& shape, Isa ceiling) {
  for (const ConvU8Kernel* kernel : conv_u8_kernels()) {
    if (isa_allowed(kernel->isa, ceiling) && kernel->supports(shape)) {
      return kernel;
    }
  }
  return nullptr;  // not reached: the list ends with a scalar kernel
}

}  // namespace reactnet
