#include "conv_i8/conv_i8.h"

namespace reactnet {
namespace {

constexpr const ConvI8Kernel* kKernels[] = {
#define REACTNET_KERNEL(name) &name,
#include "conv_i8/kernels.inc"
#undef REACTNET_KERNEL
};

}  // namespace

KernelList<ConvI8Kernel> conv_i8_kernels() { return {kKernels, sizeof(kKernels) / sizeof(kKernels[0])}; }

const ConvI8Kernel* choose_conv_i8(const ConvI8Shape& shape, Isa ceiling) {
  for (const ConvI8Kernel* kernel : conv_i8_kernels()) {
    if (isa_allowed(kernel->isa, ceiling) && kernel->supports(shape)) {
      return kernel;
    }
  }
  return nullptr;  // not reached: the list ends with a scalar kernel
}

}  // namespace reactnet
