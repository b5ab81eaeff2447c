// Packed weights: blocks of kLanes outputs x inputs x kLanes, the last block filled up with zeros.
#include <string.h>

#include "linear_f32/linear_f32.h"

namespace reactnet {
namespace {

constexpr int64_t kLanes = 8;
static_assert(kLinearF32Block % kLanes == 0, "a unit of work is whole blocks");

int64_t blocks_of(const LinearF32Shape& s) { return (s.outputs + kLanes - 1) / kLanes; }

bool supports(const LinearF32Shape&) { return true; }

uint64_t packed_bytes(const LinearF32Shape& s) {
  return static_cast<uint64_t>(blocks_of(s) * s.inputs * kLanes) * sizeof(float);
}

void pack(const LinearF32Shape& s, const float* weight, void* packed) {
  float* out = static_cast<float*>(packed);
  memset(out, 0, packed_bytes(s));
  for (int64_t o = 0; o < s.outputs; ++o) {
    for (int64_t i = 0; i < s.inputs; ++i) {
      out[(o / kLanes * s.inputs + i) * kLanes + o % kLanes] = weight[o * s.inputs + i];
    }
  }
}

void run_block(const LinearF32Args& args, int64_t block) {
  const float* __restrict x = args.in;
  const float* __restrict w = static_cast<const float*>(args.packed) + block * args.shape.inputs * kLanes;
  float acc[kLanes] = {};
  for (int64_t i = 0; i < args.shape.inputs; ++i) {
    for (int64_t j = 0; j < kLanes; ++j) {
      acc[j] = acc[j] + x[i] * w[i * kLanes + j];
    }
  }
  for (int64_t o = block * kLanes; o < args.shape.outputs && o < (block + 1) * kLanes; ++o) {
    args.out[o] = args.bias == nullptr ? acc[o % kLanes] : acc[o % kLanes] + args.bias[o];
  }
}

void run(const LinearF32Args& args, int64_t begin, int64_t end) {
  const int64_t blocks = blocks_of(args.shape);
  for (int64_t block = begin * (kLinearF32Block / kLanes); block < end * (kLinearF32Block / kLanes) && block < blocks;
       ++block) {
    run_block(args, block);
  }
}

}  // namespace

constexpr LinearF32Kernel linear_f32_scalar = {"linear_f32_scalar", Isa::kScalar, supports, packed_bytes, pack, run};

}  // namespace reactnet
