// Weights stay as in the file: an integer sum has no order, so each output is a dot product.
#include <string.h>

#include "linear_i8/linear_i8.h"

namespace reactnet {
namespace {

bool supports(const LinearI8Shape&) { return true; }

uint64_t packed_bytes(const LinearI8Shape& s) { return static_cast<uint64_t>(s.outputs * s.inputs); }

void pack(const LinearI8Shape& s, const int8_t* weight, void* packed) { memcpy(packed, weight, packed_bytes(s)); }

void run(const LinearI8Args& args, int64_t begin, int64_t end) {
  const int64_t inputs = args.shape.inputs;
  for (int64_t o = begin * kLinearI8Block; o < end * kLinearI8Block && o < args.shape.outputs; ++o) {
    const int8_t* weight = static_cast<const int8_t*>(args.packed) + o * inputs;
    int32_t acc = 0;
    for (int64_t i = 0; i < inputs; ++i) {
      acc += weight[i] * args.in[i];
    }
    const float y = (static_cast<float>(acc) * *args.in_scale) * args.scale[o];
    args.out[o] = y + args.bias[o];
  }
}

}  // namespace

constexpr LinearI8Kernel linear_i8_scalar = {"linear_i8_scalar", Isa::kScalar, supports, packed_bytes, pack, run};

}  // namespace reactnet
