// vpdpbusd multiplies unsigned bytes by signed ones, so the inputs are taken as q + 128 and the sum begins at -128
// times the output's weights: sum (q + 128) w - 128 sum w = sum q w. The sum wraps on the way, and is exact in the end
// since the format keeps it within int32. A unit is 64 outputs; even and odd fours of inputs have sums of their own, so
// that eight products are under way.
//
// Packed: blocks of 64 outputs, each -128 times the sum of an output's weights, then pairs of fours of inputs x 64 x 4
// as int8. What is past the last output or input is zero.
#include <immintrin.h>
#include <string.h>

#include "linear_i8/linear_i8.h"

namespace reactnet {
namespace {

constexpr int kRegisters = kLinearI8Block / 16;
constexpr int64_t kChunk = 4096;  // inputs made unsigned at once; a multiple of 8

int64_t eights_of(const LinearI8Shape& s) { return (s.inputs + 7) / 8; }
int64_t unit_bytes(const LinearI8Shape& s) { return kLinearI8Block * (4 + eights_of(s) * 8); }

bool supports(const LinearI8Shape&) { return true; }

uint64_t packed_bytes(const LinearI8Shape& s) {
  return static_cast<uint64_t>((s.outputs + kLinearI8Block - 1) / kLinearI8Block * unit_bytes(s));
}

void pack(const LinearI8Shape& s, const int8_t* weight, void* packed) {
  memset(packed, 0, packed_bytes(s));
  for (int64_t o = 0; o < s.outputs; ++o) {
    int8_t* unit = static_cast<int8_t*>(packed) + o / kLinearI8Block * unit_bytes(s);
    uint32_t* sum =
        reinterpret_cast<uint32_t*>(unit) + o % kLinearI8Block;  // it may wrap, as the sum of products then does
    int8_t* out = unit + kLinearI8Block * 4 + o % kLinearI8Block * 4;
    for (int64_t i = 0; i < s.inputs; ++i) {
      out[i / 4 * kLinearI8Block * 4 + i % 4] = weight[o * s.inputs + i];
      *sum -= 128 * static_cast<uint32_t>(weight[o * s.inputs + i]);
    }
  }
}

// Inputs begin to begin + count - 1 as q + 128; up to 7 past them are zero, as their weights are.
void make_unsigned(const int8_t* in, int64_t count, uint8_t* out) {
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  for (int64_t i = 0; i < count; i += 64) {
    const __mmask64 lanes = count - i >= 64 ? ~__mmask64{0} : (__mmask64{1} << (count - i)) - 1;
    const __m512i bytes = _mm512_xor_si512(_mm512_maskz_loadu_epi8(lanes, in + i), flip);
    _mm512_storeu_si512(out + i, _mm512_maskz_mov_epi8(lanes, bytes));
  }
}

__m512i load(const void* p) { return _mm512_loadu_si512(p); }

// Sixteen outputs from `o` on: y = ((f32(acc) * s) * scale) + bias.
void store(const LinearI8Args& args, int64_t o, __m512i acc) {
  const int64_t left = args.shape.outputs - o;
  if (left <= 0) {
    return;
  }
  const __mmask16 lanes = left >= 16 ? static_cast<__mmask16>(0xFFFF) : static_cast<__mmask16>((1u << left) - 1u);
  const __m512 sum = _mm512_mul_ps(_mm512_cvtepi32_ps(acc), _mm512_set1_ps(*args.in_scale));
  const __m512 y = _mm512_mul_ps(sum, _mm512_maskz_loadu_ps(lanes, args.scale + o));
  _mm512_mask_storeu_ps(args.out + o, lanes, _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, args.bias + o)));
}

int32_t four_at(const uint8_t* p) {
  int32_t four;
  memcpy(&four, p, sizeof(four));
  return four;
}

void run_unit(const LinearI8Args& args, int64_t unit) {
  const int8_t* weight = static_cast<const int8_t*>(args.packed) + unit * unit_bytes(args.shape);
  __m512i even[kRegisters];
  __m512i odd[kRegisters];
  for (int r = 0; r < kRegisters; ++r) {
    even[r] = load(weight + r * 64);
    odd[r] = _mm512_setzero_si512();
  }
  weight += kLinearI8Block * 4;
  uint8_t inputs[kChunk];
  for (int64_t begin = 0; begin < args.shape.inputs; begin += kChunk) {
    const int64_t left = args.shape.inputs - begin;
    const int64_t count = left < kChunk ? left : kChunk;
    make_unsigned(args.in + begin, count, inputs);
    for (int64_t i = 0; i < count; i += 8, weight += kLinearI8Block * 8) {
      const __m512i x0 = _mm512_set1_epi32(four_at(inputs + i));
      const __m512i x1 = _mm512_set1_epi32(four_at(inputs + i + 4));
      for (int r = 0; r < kRegisters; ++r) {
        even[r] = _mm512_dpbusd_epi32(even[r], x0, load(weight + r * 64));
        odd[r] = _mm512_dpbusd_epi32(odd[r], x1, load(weight + kLinearI8Block * 4 + r * 64));
      }
    }
  }
  for (int r = 0; r < kRegisters; ++r) {
    store(args, unit * kLinearI8Block + r * 16, _mm512_add_epi32(even[r], odd[r]));
  }
}

void run(const LinearI8Args& args, int64_t begin, int64_t end) {
  for (int64_t unit = begin; unit < end; ++unit) {
    run_unit(args, unit);
  }
}

}  // namespace

constexpr LinearI8Kernel linear_i8_x86_avx512vnni = {
    "linear_i8_x86_avx512vnni", Isa::kAvx512, supports, packed_bytes, pack, run};

}  // namespace reactnet
