// Weights are read once an image, so they stay 8 bits wide until they are in a register; then products in 16 bits, two
// at a time (vpmaddwd). A unit is 64 outputs: eight sums in registers, and each pair of inputs is broadcast once.
//
// Packed weights: blocks of 64 outputs x pairs of inputs x 64 x 2 as int8; what is past the last output or input is
// zero.
#include <immintrin.h>
#include <string.h>

#include "linear_i8/linear_i8.h"

namespace reactnet {
namespace {

constexpr int64_t kRegisters = kLinearI8Block / 8;
constexpr int64_t kChunk = 1024;  // inputs widened at once

int64_t pairs_of(const LinearI8Shape& s) { return (s.inputs + 1) / 2; }

bool supports(const LinearI8Shape&) { return true; }

uint64_t packed_bytes(const LinearI8Shape& s) {
  return static_cast<uint64_t>((s.outputs + kLinearI8Block - 1) / kLinearI8Block * pairs_of(s) * kLinearI8Block * 2);
}

// A few inputs at a time, of all outputs of a unit, so that their lines stay in the first cache.
void pack(const LinearI8Shape& s, const int8_t* weight, void* packed) {
  constexpr int64_t kFew = 32;
  memset(packed, 0, packed_bytes(s));
  int8_t* out = static_cast<int8_t*>(packed);
  for (int64_t first = 0; first < s.outputs; first += kLinearI8Block, out += pairs_of(s) * kLinearI8Block * 2) {
    const int64_t count = s.outputs - first < kLinearI8Block ? s.outputs - first : kLinearI8Block;
    for (int64_t begin = 0; begin < s.inputs; begin += kFew) {
      const int64_t end = s.inputs - begin < kFew ? s.inputs : begin + kFew;
      for (int64_t o = 0; o < count; ++o) {
        for (int64_t i = begin; i < end; ++i) {
          out[(i / 2 * kLinearI8Block + o) * 2 + i % 2] = weight[(first + o) * s.inputs + i];
        }
      }
    }
  }
}

// Inputs begin to begin + 2 * pairs - 1 as int16; one past the last is zero.
void widen(const LinearI8Args& args, int64_t begin, int64_t pairs, int16_t* out) {
  const int64_t left = args.shape.inputs - begin;
  const int64_t count = left < 2 * pairs ? left : 2 * pairs;
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(args.in + begin + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), _mm256_cvtepi8_epi16(bytes));
  }
  for (; i < 2 * pairs; ++i) {
    out[i] = i < count ? args.in[begin + i] : static_cast<int16_t>(0);
  }
}

// Eight outputs from `o` on: y = ((f32(acc) * s) * scale) + bias.
void store(const LinearI8Args& args, int64_t o, __m256i acc) {
  const int64_t left = args.shape.outputs - o;
  if (left <= 0) {
    return;
  }
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i lanes = _mm256_cmpgt_epi32(_mm256_set1_epi32(left < 8 ? static_cast<int32_t>(left) : 8), lane);
  const __m256 sum = _mm256_mul_ps(_mm256_cvtepi32_ps(acc), _mm256_broadcast_ss(args.in_scale));
  const __m256 y = _mm256_mul_ps(sum, _mm256_maskload_ps(args.scale + o, lanes));
  _mm256_maskstore_ps(args.out + o, lanes, _mm256_add_ps(y, _mm256_maskload_ps(args.bias + o, lanes)));
}

void run_unit(const LinearI8Args& args, int64_t unit) {
  const int64_t all = pairs_of(args.shape);
  const int8_t* weight = static_cast<const int8_t*>(args.packed) + unit * all * kLinearI8Block * 2;
  __m256i sum[kRegisters];
  for (int64_t r = 0; r < kRegisters; ++r) {
    sum[r] = _mm256_setzero_si256();
  }
  int16_t inputs[kChunk];
  for (int64_t begin = 0; begin < all; begin += kChunk / 2) {
    const int64_t pairs = all - begin < kChunk / 2 ? all - begin : kChunk / 2;
    widen(args, begin * 2, pairs, inputs);
    for (int64_t i = 0; i < pairs; ++i, weight += kLinearI8Block * 2) {
      int32_t pair;
      memcpy(&pair, inputs + i * 2, sizeof(pair));
      const __m256i x = _mm256_set1_epi32(pair);
      for (int64_t r = 0; r < kRegisters; ++r) {
        const __m128i bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(weight + r * 16));
        sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(x, _mm256_cvtepi8_epi16(bytes)));
      }
    }
  }
  for (int64_t r = 0; r < kRegisters; ++r) {
    store(args, unit * kLinearI8Block + r * 8, sum[r]);
  }
}

void run(const LinearI8Args& args, int64_t begin, int64_t end) {
  for (int64_t unit = begin; unit < end; ++unit) {
    run_unit(args, unit);
  }
}

}  // namespace

constexpr LinearI8Kernel linear_i8_x86_avx2 = {"linear_i8_x86_avx2", Isa::kAvx2, supports, packed_bytes, pack, run};

}  // namespace reactnet
