// What the VNNI convolutions share: sums of patches of bytes with a block of 32 outputs of int8 weights. Functions are
// static: an ISA file keeps its copy.
#ifndef REACTNET_KERNELS_X86_AVX512VNNI_TILE_H_
#define REACTNET_KERNELS_X86_AVX512VNNI_TILE_H_

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace reactnet {

constexpr int64_t kVnniBlock = 32;  // outputs of two registers
constexpr int64_t kVnniTile = 8;    // patches: 16 sums in registers

static inline __m512i vnni_load(const void* p) { return _mm512_loadu_si512(p); }

static inline __m512i vnni_four(const uint8_t* p) {
  int32_t four;
  memcpy(&four, p, sizeof(four));
  return _mm512_set1_epi32(four);
}

// The pragmas: without them g++ 12 keeps the sums in memory.
template <int kPatches>
static inline void vnni_sum_tile(const uint8_t* patches, int64_t stride, const int8_t* weight, int64_t fours,
                                 const int32_t* base, int32_t* sums) {
  __m512i low[kPatches];
  __m512i high[kPatches];
#pragma GCC unroll 8
  for (int m = 0; m < kPatches; ++m) {
    low[m] = vnni_load(base);
    high[m] = vnni_load(base + 16);
  }
  for (int64_t i = 0; i < fours; ++i, weight += kVnniBlock * 4) {
    const __m512i w0 = vnni_load(weight);
    const __m512i w1 = vnni_load(weight + 64);
#pragma GCC unroll 8
    for (int m = 0; m < kPatches; ++m) {
      const __m512i x = vnni_four(patches + m * stride + i * 4);
      low[m] = _mm512_dpbusd_epi32(low[m], x, w0);
      high[m] = _mm512_dpbusd_epi32(high[m], x, w1);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kPatches; ++m) {
    _mm512_storeu_si512(sums + m * kVnniBlock, low[m]);
    _mm512_storeu_si512(sums + m * kVnniBlock + 16, high[m]);
  }
}

// `count` (1 to kVnniTile) patches, `stride` bytes from one to the next, each of `fours` times four products, with a
// block of weights (fours x 32 outputs x 4). Sums begin at `base`, 32 for all patches; kVnniBlock of them a patch go to
// `sums`.
static inline void vnni_sum(int64_t count, const uint8_t* patches, int64_t stride, const int8_t* weight, int64_t fours,
                            const int32_t* base, int32_t* sums) {
  using SumTile = void (*)(const uint8_t*, int64_t, const int8_t*, int64_t, const int32_t*, int32_t*);
  static constexpr SumTile kTiles[kVnniTile] = {vnni_sum_tile<1>, vnni_sum_tile<2>, vnni_sum_tile<3>, vnni_sum_tile<4>,
                                                vnni_sum_tile<5>, vnni_sum_tile<6>, vnni_sum_tile<7>, vnni_sum_tile<8>};
  kTiles[count - 1](patches, stride, weight, fours, base, sums);
}

}  // namespace reactnet

#endif  // REACTNET_KERNELS_X86_AVX512VNNI_TILE_H_
