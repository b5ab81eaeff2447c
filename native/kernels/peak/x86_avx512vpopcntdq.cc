#include <immintrin.h>

#include "peak/peak.h"

namespace reactnet {
namespace {

constexpr int kSums = 12;

uint64_t run(int64_t rounds, uint64_t seed) {
  __m512i x = _mm512_set1_epi64(static_cast<int64_t>(seed));
  __m512i sums[kSums];
  __m512i words[kSums];
  for (int i = 0; i < kSums; ++i) {
    sums[i] = _mm512_setzero_si512();
    words[i] = _mm512_set1_epi64(static_cast<int64_t>(seed * static_cast<uint64_t>(2 * i + 1)));
  }
  for (int64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+v"(x));  // a word that the compiler knows nothing of
    for (int i = 0; i < kSums; ++i) {
      sums[i] = _mm512_add_epi64(sums[i], _mm512_popcnt_epi64(_mm512_xor_si512(x, words[i])));
    }
  }
  for (int i = 1; i < kSums; ++i) {
    sums[0] = _mm512_add_epi64(sums[0], sums[i]);
  }
  uint64_t lanes[8];
  _mm512_storeu_si512(lanes, sums[0]);
  uint64_t total = 0;
  for (const uint64_t lane : lanes) {
    total += lane;
  }
  return total;
}

}  // namespace

constexpr PeakLoop peak_x86_avx512vpopcntdq = {"avx512 vpopcntdq", Isa::kAvx512, kSums * 512, run};

}  // namespace reactnet
