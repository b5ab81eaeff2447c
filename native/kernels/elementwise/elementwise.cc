#include "elementwise/elementwise.h"

namespace reactnet {
namespace {

constexpr const ElementwiseKernel* kKernels[] = {
#define REACTNET_KERNEL(name) &name,
#include "elementwise/kernels.inc"
#undef REACTNET_KERNEL
};

}  // namespace

KernelList<ElementwiseKernel> elementwise_kernels() { return {kKernels, sizeof(kKernels) / sizeof(kKernels[0])}; }

const ElementwiseKernel* choose_elementwise(Isa ceiling) {
  for (const ElementwiseKernel* kernel : elementwise_kernels()) {
    if (isa_allowed(kernel->isa, ceiling)) {
      return kernel;
    }
  }
  return nullptr;  // not reached: the list ends with a scalar kernel
}

}  // namespace reactnet
