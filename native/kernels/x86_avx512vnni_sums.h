// What the VNNI convolutions share: sums of patches of bytes with a block of 32 outputs of int8 weights, in registers.
// Functions are static or inline members: an ISA file keeps its copy.
#ifndef REACTNET_KERNELS_X86_AVX512VNNI_SUMS_H_
#define REACTNET_KERNELS_X86_AVX512VNNI_SUMS_H_

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace reactnet {
namespace {

constexpr int64_t kVnniBlock = 32;  // outputs of two registers
constexpr int kVnniTile = 14;       // pixels: 28 sums, two registers of weights, one of pixels

inline __m512i vnni_load(const void* p) { return _mm512_loadu_si512(p); }

inline __m512i vnni_four(const uint8_t* p) {
  int32_t four;
  memcpy(&four, p, sizeof(four));
  return _mm512_set1_epi32(four);
}

// Of the type that GCC's own builtin has: as __m512i each sum would be moved to and fro in every round of a loop.
typedef int32_t VnniInts __attribute__((vector_size(64)));

inline VnniInts vnni_add(VnniInts sums, __m512i x, __m512i w) {
  return reinterpret_cast<VnniInts>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sums), x, w));
}

// The sums of the last of kPixels pixels with 32 outputs, and of those before it. Fields, not arrays: GCC 12 keeps
// arrays in memory, or moves each element to and fro in every round of a loop.
template <int kPixels>
struct VnniSums {
  VnniSums<kPixels - 1> others;
  VnniInts low, high;

  __attribute__((always_inline)) inline void start(const int32_t* at, int64_t step) {
    others.start(at, step);
    low = reinterpret_cast<VnniInts>(vnni_load(at + (kPixels - 1) * step));
    high = reinterpret_cast<VnniInts>(vnni_load(at + (kPixels - 1) * step + 16));
  }
  // Four products of each: the pixels' bytes are `step` apart.
  __attribute__((always_inline)) inline void add(const uint8_t* x, int64_t step, __m512i w0, __m512i w1) {
    others.add(x, step, w0, w1);
    const __m512i four = vnni_four(x + (kPixels - 1) * step);
    low = vnni_add(low, four, w0);
    high = vnni_add(high, four, w1);
  }
  // finish(pixel, register of the block, sums)
  template <class Finish>
  __attribute__((always_inline)) inline void finish(const Finish& to) const {
    others.finish(to);
    to(kPixels - 1, 0, reinterpret_cast<__m512i>(low));
    to(kPixels - 1, 1, reinterpret_cast<__m512i>(high));
  }
};

template <>
struct VnniSums<0> {
  inline void start(const int32_t*, int64_t) {}
  inline void add(const uint8_t*, int64_t, __m512i, __m512i) {}
  template <class Finish>
  inline void finish(const Finish&) const {}
};

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_X86_AVX512VNNI_SUMS_H_
