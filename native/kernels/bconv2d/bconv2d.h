// bconv2d: a binary convolution and the element-wise nodes behind it, in one pass over the output.
//
//   acc = sum of w * x over taps and the channels of the group;  outside taps count as padding_value (0: skipped)
//       = taps' channels - 2 * popcount(x ^ w), tap by tap
//   y   = f32(acc)                            exact
//   y   = (y * scale[o]) + shift[o]           if scale
//   y   = y + shortcut[pixel, o % shortcut_channels]   if shortcut
//   y   = y >= 0 ? y : slope[o] * y           if slope
//   y   = y + shift_out[o]                    if shift_out
//   out_real[pixel, o] = y                    if out_real
//   out_bits[pixel] bit o = (y + next_shift[o]) >= 0   if out_bits
//   out_pooled[2x2 pixels, o] = (((0 + y) + y) + y + y) / 4   if out_pooled: as pool.h, of kernels that pool
//
// One rounding for each operation written above: every kernel returns the bits of scalar.cc.
// Bits: channel c is bit c % 64 of word c / 64; tail bits are 0.
// Weights in the file: U64 (O, kh, kw, ceil(C / G / 64)).
#ifndef REACTNET_KERNELS_BCONV2D_BCONV2D_H_
#define REACTNET_KERNELS_BCONV2D_BCONV2D_H_

#include "isa.h"
#include "kernel_list.h"
#include "window.h"

namespace reactnet {

struct BConv2dShape {
  Window window;
  int64_t channels;  // of the input; a multiple of groups
  int64_t outputs;   // a multiple of groups
  int64_t groups;
  int64_t padding_value;  // -1, 0, +1
};

// Arrays may have any alignment that their type allows, but `packed` is aligned to 64 bytes.
struct BConv2dArgs {
  BConv2dShape shape;
  const uint64_t* in;         // height * width * ceil(channels / 64)
  const void* packed;         // made by this kernel's pack
  const float* scale;         // outputs; null together with shift
  const float* shift;         // outputs
  const float* shortcut;      // out_height * out_width * shortcut_channels; may be out_real if the channels are equal
  int64_t shortcut_channels;  // outputs is a multiple of it
  const float* slope;         // outputs
  const float* shift_out;     // outputs
  float* out_real;            // out_height * out_width * outputs
  const float* next_shift;    // outputs; given with out_bits
  uint64_t* out_bits;         // out_height * out_width * ceil(outputs / 64)
  void* scratch;              // this thread's own, aligned to 64 bytes, for the time of the call

  // out_height / 2 * out_width / 2 * outputs, both even; given without out_real
  float* out_pooled = nullptr;
};

struct BConv2dKernel {
  const char* name;
  Isa isa;
  bool (*supports)(const BConv2dShape& shape);
  uint64_t (*packed_bytes)(const BConv2dShape& shape);
  void (*pack)(const BConv2dShape& shape, const uint64_t* weight, void* packed);
  // Of BConv2dArgs::scratch: what the kernel makes of the activations before it counts.
  uint64_t (*scratch_bytes)(const BConv2dShape& shape);
  // Output rows begin to end - 1; threads may run disjoint ranges at once. With out_pooled both are even.
  void (*run)(const BConv2dArgs& args, int64_t begin, int64_t end);
  bool pools = false;  // takes out_pooled
};

KernelList<BConv2dKernel> bconv2d_kernels();
// The first kernel that the ceiling allows and that supports the shape; never null.
const BConv2dKernel* choose_bconv2d(const BConv2dShape& shape, Isa ceiling);

#define REACTNET_KERNEL(name) extern const BConv2dKernel name;
#include "bconv2d/kernels.inc"
#undef REACTNET_KERNEL

}  // namespace reactnet

#endif  // REACTNET_KERNELS_BCONV2D_BCONV2D_H_
