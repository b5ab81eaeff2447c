#include "kernel_list.h"

#include "bconv2d/bconv2d.h"
#include "channels/channels.h"
#include "conv_f32/conv_f32.h"
#include "conv_i8/conv_i8.h"
#include "conv_u8/conv_u8.h"
#include "elementwise/elementwise.h"
#include "linear_f32/linear_f32.h"
#include "linear_i8/linear_i8.h"
#include "normalize/normalize.h"
#include "pool/pool.h"
#include "quantize/quantize.h"
#include "sign/sign.h"

namespace reactnet {
namespace {

struct Writer {
  KernelInfo* out;
  size_t room;
  size_t count;

  template <class K>
  void add(const char* op, const KernelList<K>& list) {
    for (const K* kernel : list) {
      if (count < room) {
        out[count] = {op, kernel->name, kernel->isa};
      }
      ++count;
    }
  }
};

}  // namespace

size_t all_kernels(KernelInfo* out, size_t room) {
  Writer writer = {out, room, 0};
  writer.add("bconv2d", bconv2d_kernels());
  writer.add("channels", channels_kernels());
  writer.add("conv_f32", conv_f32_kernels());
  writer.add("conv_i8", conv_i8_kernels());
  writer.add("conv_u8", conv_u8_kernels());
  writer.add("elementwise", elementwise_kernels());
  writer.add("linear_f32", linear_f32_kernels());
  writer.add("linear_i8", linear_i8_kernels());
  writer.add("normalize", normalize_kernels());
  writer.add("pool", pool_kernels());
  writer.add("quantize", quantize_kernels());
  writer.add("sign", sign_kernels());
  return writer.count;
}

}  // namespace reactnet
