// conv_f32: acc = +0; for kh, kw, then ci of the group: acc = acc + (x * w), outside taps skipped; y = acc + bias[o],
// or acc. The order of the sum is the law, so kernels vectorise over outputs. Weights in the file: (O, kh, kw, C / G);
// f16 ones are decoded to f32 before `pack`.
#ifndef REACTNET_KERNELS_CONV_F32_CONV_F32_H_
#define REACTNET_KERNELS_CONV_F32_CONV_F32_H_

#include "isa.h"
#include "kernel_list.h"
#include "window.h"

namespace reactnet {

struct ConvF32Shape {
  Window window;
  int64_t channels;  // of the input; a multiple of groups
  int64_t outputs;   // a multiple of groups
  int64_t groups;
};

struct ConvF32Args {
  ConvF32Shape shape;
  const float* in;     // height * width * channels
  const void* packed;  // made by this kernel's pack; aligned to 64 bytes
  const float* bias;   // outputs, or null
  float* out;          // out_height * out_width * outputs
  // In place of `in`, which is null, for a kernel that looks up: x is table[pixel, channel].
  const uint8_t* pixels = nullptr;  // height * width * channels
  const float* table = nullptr;     // 256 * channels
};

struct ConvF32Kernel {
  const char* name;
  Isa isa;
  bool (*supports)(const ConvF32Shape& shape);
  uint64_t (*packed_bytes)(const ConvF32Shape& shape);
  void (*pack)(const ConvF32Shape& shape, const float* weight, void* packed);
  void (*run)(const ConvF32Args& args, int64_t begin, int64_t end);  // output rows begin to end - 1
  bool (*looks_up)(const ConvF32Shape& shape) = nullptr;             // pixels in a table; null: never
};

KernelList<ConvF32Kernel> conv_f32_kernels();
const ConvF32Kernel* choose_conv_f32(const ConvF32Shape& shape, Isa ceiling);

#define REACTNET_KERNEL(name) extern const ConvF32Kernel name;
#include "conv_f32/kernels.inc"
#undef REACTNET_KERNEL

}  // namespace reactnet

#endif  // REACTNET_KERNELS_CONV_F32_CONV_F32_H_
