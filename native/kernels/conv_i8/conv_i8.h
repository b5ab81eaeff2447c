// conv_i8: acc (int32) = sum of w * q over inside taps and the channels of the group;  y = ((f32(acc) * s) * scale[o])
// + bias[o], s = the image's scale. f32(acc) rounds to nearest even. Weights in the file: I8 (O, kh, kw, C / G).
#ifndef REACTNET_KERNELS_CONV_I8_CONV_I8_H_
#define REACTNET_KERNELS_CONV_I8_CONV_I8_H_

#include "isa.h"
#include "kernel_list.h"
#include "window.h"

namespace reactnet {

struct ConvI8Shape {
  Window window;
  int64_t channels;  // of the input; a multiple of groups
  int64_t outputs;   // a multiple of groups
  int64_t groups;
};

struct ConvI8Args {
  ConvI8Shape shape;
  const int8_t* in;       // height * width * channels
  const float* in_scale;  // one
  const void* packed;     // made by this kernel's pack; aligned to 64 bytes
  const float* scale;     // outputs
  const float* bias;      // outputs
  float* out;             // out_height * out_width * outputs
};

struct ConvI8Kernel {
  const char* name;
  Isa isa;
  bool (*supports)(const ConvI8Shape& shape);
  uint64_t (*packed_bytes)(const ConvI8Shape& shape);
  void (*pack)(const ConvI8Shape& shape, const int8_t* weight, void* packed);
  void (*run)(const ConvI8Args& args, int64_t begin, int64_t end);  // output rows begin to end - 1
};

KernelList<ConvI8Kernel> conv_i8_kernels();
const ConvI8Kernel* choose_conv_i8(const ConvI8Shape& shape, Isa ceiling);

#define REACTNET_KERNEL(name) extern const ConvI8Kernel name;
#include "conv_i8/kernels.inc"
#undef REACTNET_KERNEL

}  // namespace reactnet

#endif  // REACTNET_KERNELS_CONV_I8_CONV_I8_H_
