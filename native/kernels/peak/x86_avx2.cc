#include <immintrin.h>

#include "peak/peak.h"

namespace reactnet {
namespace {

constexpr int kWords = 8;

// A value that the compiler knows nothing of from here on, in the register where it is.
__m256i opaque(__m256i v) {
  __asm__ volatile("" : "+x"(v));
  return v;
}

uint64_t sum(__m256i v) {
  return static_cast<uint64_t>(_mm256_extract_epi64(v, 0)) + static_cast<uint64_t>(_mm256_extract_epi64(v, 1)) +
         static_cast<uint64_t>(_mm256_extract_epi64(v, 2)) + static_cast<uint64_t>(_mm256_extract_epi64(v, 3));
}

uint64_t run_popcnt(int64_t rounds, uint64_t seed) {
  uint64_t sums[4] = {};
  for (int64_t r = 0; r < rounds; ++r) {
    for (int i = 0; i < 4; ++i) {
      uint64_t word = ~seed;
      __asm__ volatile("" : "+r"(word));
      sums[i] += static_cast<uint64_t>(_mm_popcnt_u64(word ^ seed));
    }
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

// Bits of each byte.
__m256i byte_counts(__m256i v) {
  const __m256i table =
      _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i nibble = _mm256_set1_epi8(15);
  const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(v, nibble));
  const __m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble));
  return _mm256_add_epi8(low, high);
}

uint64_t run_shuffle(int64_t rounds, uint64_t seed) {
  __m256i x = _mm256_set1_epi64x(static_cast<int64_t>(seed));
  __m256i w = _mm256_set1_epi64x(static_cast<int64_t>(~seed));
  __m256i total = _mm256_setzero_si256();
  for (int64_t r = 0; r < rounds; ++r) {
    __m256i bytes[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int i = 0; i < kWords; ++i) {
      x = opaque(x);
      bytes[i % 2] = _mm256_add_epi8(bytes[i % 2], byte_counts(_mm256_xor_si256(x, w)));
    }
    const __m256i both = _mm256_add_epi8(bytes[0], bytes[1]);
    total = _mm256_add_epi64(total, _mm256_sad_epu8(both, _mm256_setzero_si256()));
  }
  return sum(total);
}

// A full adder of three bits in every place: their sum into `low`, their carry is returned.
__m256i carry_save(__m256i& low, __m256i a, __m256i b) {
  const __m256i either = _mm256_xor_si256(low, a);
  const __m256i carry = _mm256_or_si256(_mm256_and_si256(low, a), _mm256_and_si256(either, b));
  low = _mm256_xor_si256(either, b);
  return carry;
}

uint64_t run_harley_seal(int64_t rounds, uint64_t seed) {
  __m256i x = _mm256_set1_epi64x(static_cast<int64_t>(seed));
  __m256i w = _mm256_set1_epi64x(static_cast<int64_t>(~seed));
  __m256i ones = _mm256_setzero_si256();
  __m256i twos = ones;
  __m256i fours = ones;
  __m256i eights = ones;
  const auto next = [&] {
    x = opaque(x);
    return _mm256_xor_si256(x, w);
  };
  for (int64_t r = 0; r < rounds; ++r) {
    __m256i two[4];
    for (__m256i& carry : two) {
      const __m256i first = next();
      carry = carry_save(ones, first, next());
    }
    const __m256i four = carry_save(twos, two[0], two[1]);
    const __m256i other = carry_save(twos, two[2], two[3]);
    const __m256i eight = byte_counts(carry_save(fours, four, other));
    eights = _mm256_add_epi64(eights, _mm256_sad_epu8(eight, _mm256_setzero_si256()));
  }
  const auto count = [](__m256i v) { return sum(_mm256_sad_epu8(byte_counts(v), _mm256_setzero_si256())); };
  return 8 * sum(eights) + 4 * count(fours) + 2 * count(twos) + count(ones);
}

}  // namespace

constexpr PeakLoop peak_x86_avx2_popcnt = {"popcnt", Isa::kAvx2, 4 * 64, run_popcnt};
constexpr PeakLoop peak_x86_avx2_shuffle = {"avx2 shuffle", Isa::kAvx2, kWords * 256, run_shuffle};
constexpr PeakLoop peak_x86_avx2_harley_seal = {"avx2 harley-seal", Isa::kAvx2, kWords * 256, run_harley_seal};

}  // namespace reactnet
