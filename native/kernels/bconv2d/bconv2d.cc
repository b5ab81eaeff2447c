#include "bconv2d/bconv2d.h"

namespace reactnet {
namespace {

constexpr const BConv2dKernel* kKernels[] = {
#define REACTNET_KERNEL(name) &name,
#include "bconv2d/kernels.inc"
#undef REACTNET_KERNEL
};

}  // namespace

KernelList<BConv2dKernel> bconv2d_kernels() { return {kKernels, sizeof(kKernels) / sizeof(kKernels[0])}; }

const BConv2dKernel* choose_bconv2d(const BConv2dShape& shape, Isa ceiling) {
  for (const BConv2dKernel* kernel : bconv2d_kernels()) {
    if (isa_allowed(kernel->isa, ceiling) && kernel->supports(shape)) {
      return kernel;
    }
  }
  return nullptr;  // not reached: the list ends with a scalar kernel
}

}  // namespace reactnet
