#include "linear_i8/linear_i8.h"

namespace reactnet {
namespace {

constexpr const LinearI8Kernel* kKernels[] = {
#define REACTNET_KERNEL(name) &name,
#include "linear_i8/kernels.inc"
#undef REACTNET_KERNEL
};

}  // namespace

KernelList<LinearI8Kernel> linear_i8_kernels() { return {kKernels, sizeof(kKernels) / sizeof(kKernels[0])}; }

const LinearI8Kernel* choose_linear_i8(const LinearI8Shape& shape, Isa ceiling) {
  for (const LinearI8Kernel* kernel : linear_i8_kernels()) {
    if (isa_allowed(kernel->isa, ceiling) && kernel->supports(shape)) {
      return kernel;
    }
  }
  return nullptr;  // not reached: the list ends with a scalar kernel
}

}  // namespace reactnet
