#include "sign/sign.h"

namespace reactnet {
namespace {

constexpr const SignKernel* kKernels[] = {
#define REACTNET_KERNEL(name) &name,
#include "sign/kernels.inc"
#undef REACTNET_KERNEL
};

}  // namespace

KernelList<SignKernel> sign_kernels() { return {kKernels, sizeof(kKernels) / sizeof(kKernels[0])}; }

const SignKernel* choose_sign(Isa ceiling) {
  for (const SignKernel* kernel : sign_kernels()) {
    if (isa_allowed(kernel->isa, ceiling)) {
      return kernel;
    }
  }
  return nullptr;  // not reached: the list ends with a scalar kernel
}

}  // namespace reactnet
