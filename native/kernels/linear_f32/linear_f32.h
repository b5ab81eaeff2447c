// linear_f32: acc = +0; for i over h, w, c: acc = acc + (x[i] * w[o, i]);  y = acc + bias[o], or acc.
// The order of the sum is the law, so kernels vectorise over outputs. Weights in the file: (O, I); f16 ones are decoded
// first.
#ifndef REACTNET_KERNELS_LINEAR_F32_LINEAR_F32_H_
#define REACTNET_KERNELS_LINEAR_F32_LINEAR_F32_H_

#include <stdint.h>

#include "isa.h"
#include "kernel_list.h"

namespace reactnet {

inline constexpr int64_t kLinearF32Block = 64;  // outputs of one unit of work

struct LinearF32Shape {
  int64_t inputs;
  int64_t outputs;
};

struct LinearF32Args {
  LinearF32Shape shape;
  const float* in;     // inputs
  const void* packed;  // made by this kernel's pack; aligned to 64 bytes
  const float* bias;   // outputs, or null
  float* out;          // outputs
};

struct LinearF32Kernel {
  const char* name;
  Isa isa;
  bool (*supports)(const LinearF32Shape& shape);
  uint64_t (*packed_bytes)(const LinearF32Shape& shape);
  void (*pack)(const LinearF32Shape& shape, const float* weight, void* packed);
  void (*run)(const LinearF32Args& args, int64_t begin, int64_t end);  // blocks of kLinearF32Block outputs
};

KernelList<LinearF32Kernel> linear_f32_kernels();
const LinearF32Kernel* choose_linear_f32(const LinearF32Shape& shape, Isa ceiling);

#define REACTNET_KERNEL(name) extern const LinearF32Kernel name;
#include "linear_f32/kernels.inc"
#undef REACTNET_KERNEL

}  // namespace reactnet

#endif  // REACTNET_KERNELS_LINEAR_F32_LINEAR_F32_H_
