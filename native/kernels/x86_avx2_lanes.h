// Eight floats of a row, or the first few where the row ends: lanes that are off touch no memory. For AVX2 files only;
// functions are static, so each file keeps its copy, built with its flags.
#ifndef REACTNET_KERNELS_X86_AVX2_LANES_H_
#define REACTNET_KERNELS_X86_AVX2_LANES_H_

#include <immintrin.h>
#include <stdint.h>

namespace reactnet {

struct AllLanes {
  static inline __m256 load(const float* p) { return _mm256_loadu_ps(p); }
  static inline void store(float* p, __m256 v) { _mm256_storeu_ps(p, v); }
  static inline uint32_t bits(int mask) { return static_cast<uint32_t>(mask); }
};

struct SomeLanes {
  __m256i mask;
  uint32_t low;

  explicit inline SomeLanes(int64_t count)
      : mask(_mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(count)),
                                _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))),
        low(count >= 8 ? 0xFFu : (1u << count) - 1u) {}
  inline __m256 load(const float* p) const { return _mm256_maskload_ps(p, mask); }
  inline void store(float* p, __m256 v) const { _mm256_maskstore_ps(p, mask, v); }
  inline uint32_t bits(int signs) const { return static_cast<uint32_t>(signs) & low; }
};

}  // namespace reactnet

#endif  // REACTNET_KERNELS_X86_AVX2_LANES_H_
