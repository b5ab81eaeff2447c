#include "conv_f32/conv_f32.h"

namespace reactnet {
namespace {

constexpr const ConvF32Kernel* kKernels[] = {
#define REACTNET_KERNEL(name) &name,
#include "conv_f32/kernels.inc"
#undef REACTNET_KERNEL
};

}  // namespace

KernelList<ConvF32Kernel> conv_f32_kernels() { return {kKernels, sizeof(kKernels) / sizeof(kKernels[0])}; }

const ConvF32Kernel* choose_conv_f32(const ConvF32Shape& shape, Isa ceiling) {
  for (const ConvF32Kernel* kernel : conv_f32_kernels()) {
    if (isa_allowed(kernel->isa, ceiling) && kernel->supports(shape)) {
      return kernel;
    }
  }
  return nullptr;  // not reached: the list ends with a scalar kernel
}

}  // namespace reactnet
