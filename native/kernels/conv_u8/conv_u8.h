// conv_u8, the integer stem: acc (int32) = sum over inside taps of (sum_c w * x - offset);  y = (f32(acc) * scale[o]) +
// bias[o]. Weights in the file: I8 or I16 (O, kh, kw, C); offset: I32 (O, kh, kw).
#ifndef REACTNET_KERNELS_CONV_U8_CONV_U8_H_
#define REACTNET_KERNELS_CONV_U8_CONV_U8_H_

#include "isa.h"
#include "kernel_list.h"
#include "window.h"

namespace reactnet {

struct ConvU8Shape {
  Window window;
  int64_t channels;  // of the input
  int64_t outputs;
  int64_t weight_bits;  // 8 or 16
};

struct ConvU8Args {
  ConvU8Shape shape;
  const uint8_t* in;   // height * width * channels
  const void* packed;  // made by this kernel's pack; aligned to 64 bytes
  const float* scale;  // outputs
  const float* bias;   // outputs
  float* out;          // out_height * out_width * outputs
  // In its place, for a kernel that pools: maxima of 3x3 pixels, stride 2, padding 1, of a map of even sides.
  float* out_pooled = nullptr;  // out_height / 2 * out_width / 2 * outputs
};

struct ConvU8Kernel {
  const char* name;
  Isa isa;
  bool (*supports)(const ConvU8Shape& shape);
  uint64_t (*packed_bytes)(const ConvU8Shape& shape);
  // weight: int8_t or int16_t by shape.weight_bits.
  void (*pack)(const ConvU8Shape& shape, const void* weight, const int32_t* offset, void* packed);
  void (*run)(const ConvU8Args& args, int64_t begin, int64_t end);       // output rows begin to end - 1, pooled or not
  bool (*pools)(const ConvU8Shape& shape, const float* bias) = nullptr;  // null: never
};

KernelList<ConvU8Kernel> conv_u8_kernels();
const ConvU8Kernel* choose_conv_u8(const ConvU8Shape& shape, Isa ceiling);

#define REACTNET_KERNEL(name) extern const ConvU8Kernel name;
#include "conv_u8/kernels.inc"
#undef REACTNET_KERNEL

}  // namespace reactnet

#endif  // REACTNET_KERNELS_CONV_U8_CONV_U8_H_
