#include "normalize/normalize.h"

namespace reactnet {
namespace {

constexpr const NormalizeKernel* kKernels[] = {
#define REACTNET_KERNEL(name) &name,
#include "normalize/kernels.inc"
#undef REACTNET_KERNEL
};

}  // namespace

KernelList<NormalizeKernel> normalize_kernels() { return {kKernels, sizeof(kKernels) / sizeof(kKernels[0])}; }

const NormalizeKernel* choose_normalize(Isa ceiling) {
  for (const NormalizeKernel* kernel : normalize_kernels()) {
    if (isa_allowed(kernel->isa, ceiling)) {
      return kernel;
    }
  }
  return nullptr;  // not reached: the list ends with a scalar kernel
}

}  // namespace reactnet
