#include "pool/pool.h"

namespace reactnet {
namespace {

constexpr const PoolKernel* kKernels[] = {
#define REACTNET_KERNEL(name) &name,
#include "pool/kernels.inc"
#undef REACTNET_KERNEL
};

}  // namespace

KernelList<PoolKernel> pool_kernels() { return {kKernels, sizeof(kKernels) / sizeof(kKernels[0])}; }

const PoolKernel* choose_pool(Isa ceiling) {
  for (const PoolKernel* kernel : pool_kernels()) {
    if (isa_allowed(kernel->isa, ceiling)) {
      return kernel;
    }
  }
  return nullptr;  // not reached: the list ends with a scalar kernel
}

}  // namespace reactnet
