#include "linear_f32/linear_f32.h"

namespace reactnet {
namespace {

constexpr const LinearF32Kernel* kKernels[] = {
#define REACTNET_KERNEL(name) &name,
#include "linear_f32/kernels.inc"
#undef REACTNET_KERNEL
};

}  // namespace

KernelList<LinearF32Kernel> linear_f32_kernels() { return {kKernels, sizeof(kKernels) / sizeof(kKernels[0])}; }

const LinearF32Kernel* choose_linear_f32(const LinearF32Shape& shape, Isa ceiling) {
  for (const LinearF32Kernel* kernel : linear_f32_kernels()) {
    if (isa_allowed(kernel->isa, ceiling) && kernel->supports(shape)) {
      return kernel;
    }
  }
  return nullptr;  // not reached: the list ends with a scalar kernel
}

}  // namespace reactnet
