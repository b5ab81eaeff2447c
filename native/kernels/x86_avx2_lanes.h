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

template <class Lanes>
static inline uint64_t eight_signs(const Lanes& lanes, const float* in, const float* shift) {
  const __m256 x = _mm256_add_ps(lanes.load(in), lanes.load(shift));
  return lanes.bits(_mm256_movemask_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GE_OQ)));
}

// A pixel's signs: bit c % 64 of word c / 64 is (in[c] + shift[c]) >= 0; tail bits are 0.
static inline void sign_words(const float* in, const float* shift, int64_t channels, uint64_t* out) {
  for (; channels >= 64; channels -= 64, in += 64, shift += 64) {
    uint64_t word = 0;
    for (int64_t c = 0; c < 64; c += 8) {
      word |= eight_signs(AllLanes(), in + c, shift + c) << c;
    }
    *out++ = word;
  }
  if (channels > 0) {
    uint64_t word = 0;
    int64_t c = 0;
    for (; c + 8 <= channels; c += 8) {
      word |= eight_signs(AllLanes(), in + c, shift + c) << c;
    }
    if (c < channels) {
      word |= eight_signs(SomeLanes(channels - c), in + c, shift + c) << c;
    }
    *out = word;
  }
}

}  // namespace reactnet

#endif  // REACTNET_KERNELS_X86_AVX2_LANES_H_
