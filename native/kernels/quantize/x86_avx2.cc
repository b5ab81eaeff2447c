// vmaxps and vminps give their second operand where the comparison fails or meets a NaN: max(a, m) is a > m ? a : m,
// min(t, 127) is t < 127 ? t : 127, to the letter. The conversion to int32 rounds a half to even, as the run has set.
#include <immintrin.h>

#include "quantize/quantize.h"

namespace reactnet {
namespace {

constexpr int64_t kAtOnce = 32;

float max_abs(const float* in, int64_t begin, int64_t end) {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  __m256 most[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
  int64_t i = begin;
  for (; i + kAtOnce <= end; i += kAtOnce) {
    for (int r = 0; r < 4; ++r) {
      most[r] = _mm256_max_ps(_mm256_and_ps(_mm256_loadu_ps(in + i + r * 8), magnitude), most[r]);
    }
  }
  float lanes[8];  // no NaN among them: from here on any order will do
  _mm256_storeu_ps(lanes, _mm256_max_ps(_mm256_max_ps(most[0], most[1]), _mm256_max_ps(most[2], most[3])));
  float m = 0.0f;
  for (int lane = 0; lane < 8; ++lane) {
    m = lanes[lane] > m ? lanes[lane] : m;
  }
  for (; i < end; ++i) {
    const float a = __builtin_fabsf(in[i]);
    m = a > m ? a : m;
  }
  return m;
}

__m256i rounded(const float* in, __m256 inv) {
  __m256 t = _mm256_mul_ps(_mm256_loadu_ps(in), inv);
  t = _mm256_max_ps(t, _mm256_set1_ps(-127.0f));
  t = _mm256_min_ps(t, _mm256_set1_ps(127.0f));
  return _mm256_cvtps_epi32(t);
}

int8_t rounded_one(float x, float inv) {
  __m128 t = _mm_set_ss(x * inv);
  t = _mm_max_ss(t, _mm_set_ss(-127.0f));
  t = _mm_min_ss(t, _mm_set_ss(127.0f));
  return static_cast<int8_t>(_mm_cvtss_si32(t));
}

void run(const QuantizeArgs& args, int64_t begin, int64_t end) {
  if (begin == 0) {
    *args.scale = args.max == 0.0f ? 0.0f : args.max / 127.0f;
  }
  if (args.max == 0.0f) {
    for (int64_t i = begin; i < end; ++i) {
      args.out[i] = 0;
    }
    return;
  }
  const float inv = 127.0f / args.max;
  const __m256 all = _mm256_set1_ps(inv);
  // Packing works in halves of a register: this puts the fours back in order.
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  int64_t i = begin;
  for (; i + kAtOnce <= end; i += kAtOnce) {
    const float* in = args.in + i;
    const __m256i low = _mm256_packs_epi32(rounded(in, all), rounded(in + 8, all));
    const __m256i high = _mm256_packs_epi32(rounded(in + 16, all), rounded(in + 24, all));
    const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(args.out + i), bytes);
  }
  for (; i < end; ++i) {
    args.out[i] = rounded_one(args.in[i], inv);
  }
}

}  // namespace

constexpr QuantizeKernel quantize_x86_avx2 = {"quantize_x86_avx2", Isa::kAvx2, max_abs, run};

}  // namespace reactnet
