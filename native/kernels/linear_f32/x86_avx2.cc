// A unit of work is eight registers of sums, enough to hide the latency of an addition, which the law does not allow to
// fuse with its product. The weights are read once, in order: their memory sets the speed.
//
// Packed weights: units of 64 outputs x inputs x 64, the last unit filled up with zeros.
#include <immintrin.h>
#include <string.h>

#include "linear_f32/linear_f32.h"

namespace reactnet {
namespace {

constexpr int64_t kRegisters = kLinearF32Block / 8;

int64_t units_of(const LinearF32Shape& s) { return (s.outputs + kLinearF32Block - 1) / kLinearF32Block; }

bool supports(const LinearF32Shape&) { return true; }

uint64_t packed_bytes(const LinearF32Shape& s) {
  return static_cast<uint64_t>(units_of(s) * s.inputs * kLinearF32Block) * sizeof(float);
}

// A few inputs at a time, of all outputs of a unit, so that their lines stay in the first cache.
void pack(const LinearF32Shape& s, const float* weight, void* packed) {
  constexpr int64_t kFew = 16;
  float* out = static_cast<float*>(packed);
  for (int64_t first = 0; first < s.outputs; first += kLinearF32Block, out += s.inputs * kLinearF32Block) {
    const int64_t count = s.outputs - first < kLinearF32Block ? s.outputs - first : kLinearF32Block;
    if (count < kLinearF32Block) {
      memset(out, 0, static_cast<size_t>(s.inputs * kLinearF32Block) * sizeof(float));
    }
    for (int64_t begin = 0; begin < s.inputs; begin += kFew) {
      const int64_t end = s.inputs - begin < kFew ? s.inputs : begin + kFew;
      for (int64_t o = 0; o < count; ++o) {
        for (int64_t i = begin; i < end; ++i) {
          out[i * kLinearF32Block + o] = weight[(first + o) * s.inputs + i];
        }
      }
    }
  }
}

void run_unit(const LinearF32Args& args, int64_t unit) {
  const float* weight = static_cast<const float*>(args.packed) + unit * args.shape.inputs * kLinearF32Block;
  __m256 sum[kRegisters];
  for (int64_t r = 0; r < kRegisters; ++r) {
    sum[r] = _mm256_setzero_ps();
  }
  for (int64_t i = 0; i < args.shape.inputs; ++i, weight += kLinearF32Block) {
    const __m256 x = _mm256_broadcast_ss(args.in + i);
    for (int64_t r = 0; r < kRegisters; ++r) {
      sum[r] = _mm256_add_ps(sum[r], _mm256_mul_ps(x, _mm256_load_ps(weight + r * 8)));
    }
  }
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  for (int64_t r = 0; r < kRegisters; ++r) {
    const int64_t first = unit * kLinearF32Block + r * 8;
    if (first >= args.shape.outputs) {
      return;
    }
    const int64_t left = args.shape.outputs - first < 8 ? args.shape.outputs - first : 8;
    const __m256i lanes = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(left)), lane);
    const __m256 y =
        args.bias == nullptr ? sum[r] : _mm256_add_ps(sum[r], _mm256_maskload_ps(args.bias + first, lanes));
    _mm256_maskstore_ps(args.out + first, lanes, y);
  }
}

void run(const LinearF32Args& args, int64_t begin, int64_t end) {
  for (int64_t unit = begin; unit < end; ++unit) {
    run_unit(args, unit);
  }
}

}  // namespace

constexpr LinearF32Kernel linear_f32_x86_avx2 = {"linear_f32_x86_avx2", Isa::kAvx2, supports, packed_bytes, pack, run};

}  // namespace reactnet
