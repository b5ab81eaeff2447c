#include "quantize/quantize.h"

namespace reactnet {
namespace {

constexpr const QuantizeKernel* kKernels[] = {
#define REACTNET_KERNEL(name) &name,
#include "quantize/kernels.inc"
#undef REACTNET_KERNEL
};

}  // namespace

KernelList<QuantizeKernel> quantize_kernels() { return {kKernels, sizeof(kKernels) / sizeof(kKernels[0])}; }

const QuantizeKernel* choose_quantize(Isa ceiling) {
  for (const QuantizeKernel* kernel : quantize_kernels()) {
    if (isa_allowed(kernel->isa, ceiling)) {
      return kernel;
    }
  }
  return nullptr;  // not reached: the list ends with a scalar kernel
}

}  // namespace reactnet
