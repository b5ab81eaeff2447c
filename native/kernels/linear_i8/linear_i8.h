// linear_i8: acc (int32) = sum over i of w[o, i] * q[i];  y = ((f32(acc) * s) * scale[o]) + bias[o], s = the image's
// scale. f32(acc) rounds to nearest even. Weights in the file: I8 (O, I).
#ifndef REACTNET_KERNELS_LINEAR_I8_LINEAR_I8_H_
#define REACTNET_KERNELS_LINEAR_I8_LINEAR_I8_H_

#include <stdint.h>

#include "isa.h"
#include "kernel_list.h"

namespace reactnet {

inline constexpr int64_t kLinearI8Block = 64;  // outputs of one unit of work

struct LinearI8Shape {
  int64_t inputs;
  int64_t outputs;
};

struct LinearI8Args {
  LinearI8Shape shape;
  const int8_t* in;       // inputs
  const float* in_scale;  // one
  const void* packed;     // made by this kernel's pack; aligned to 64 bytes
  const float* scale;     // outputs
  const float* bias;      // outputs
  float* out;             // outputs
};

struct LinearI8Kernel {
  const char* name;
  Isa isa;
  bool (*supports)(const LinearI8Shape& shape);
  uint64_t (*packed_bytes)(const LinearI8Shape& shape);
  void (*pack)(const LinearI8Shape& shape, const int8_t* weight, void* packed);
  void (*run)(const LinearI8Args& args, int64_t begin, int64_t end);  // blocks of kLinearI8Block outputs
};

KernelList<LinearI8Kernel> linear_i8_kernels();
const LinearI8Kernel* choose_linear_i8(const LinearI8Shape& shape, Isa ceiling);

#define REACTNET_KERNEL(name) extern const LinearI8Kernel name;
#include "linear_i8/kernels.inc"
#undef REACTNET_KERNEL

}  // namespace reactnet

#endif  // REACTNET_KERNELS_LINEAR_I8_LINEAR_I8_H_
