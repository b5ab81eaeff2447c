// Selects are a comparison and a blend: the instruction's own minimum and maximum have other rules for zeros and NaNs.
#include <immintrin.h>

#include "elementwise/blocks.h"
#include "x86_avx2_lanes.h"

namespace reactnet {
namespace {

// where ? a : b
inline __m256 select(__m256 where, __m256 a, __m256 b) { return _mm256_blendv_ps(b, a, where); }
inline __m256 less(__m256 a, __m256 b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
inline __m256 constant(float x) { return _mm256_set1_ps(x); }
inline __m256 multiply_add(__m256 a, __m256 b, __m256 c) { return _mm256_add_ps(_mm256_mul_ps(a, b), c); }

inline __m256 clip(__m256 x, __m256 lo, __m256 hi) {
  const __m256 t = select(less(x, lo), lo, x);
  return select(less(hi, t), hi, t);
}

struct Affine {
  static inline __m256 of(__m256 x, __m256 scale, __m256 shift) { return multiply_add(x, scale, shift); }
};

struct Add {
  static inline __m256 of(__m256 x, __m256 second, __m256) { return _mm256_add_ps(x, second); }
};

struct Mul {
  static inline __m256 of(__m256 x, __m256 second, __m256) { return _mm256_mul_ps(x, second); }
};

struct Prelu {
  static inline __m256 of(__m256 x, __m256 slope, __m256) {
    return select(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GE_OQ), x, _mm256_mul_ps(slope, x));
  }
};

struct Relu {
  static inline __m256 of(__m256 x, __m256, __m256) {
    return select(less(x, _mm256_setzero_ps()), _mm256_setzero_ps(), x);
  }
};

struct Abs {
  static inline __m256 of(__m256 x, __m256, __m256) { return _mm256_andnot_ps(constant(-0.0f), x); }
};

struct HardSigmoid {
  static inline __m256 of(__m256 x, __m256, __m256) {
    return clip(multiply_add(x, constant(1.0f / 6.0f), constant(0.5f)), _mm256_setzero_ps(), constant(1.0f));
  }
};

// As scalar.cc has it, operation by operation.
struct Sigmoid {
  static inline __m256 of(__m256 x, __m256, __m256) {
    const __m256 lowest = constant(-87.0f);
    __m256 a = _mm256_or_ps(constant(-0.0f), x);
    a = select(_mm256_cmp_ps(a, lowest, _CMP_GT_OQ), a, lowest);
    const __m256 big = constant(12582912.0f);  // at 1.5 * 2^23 the last bit of an f32 is worth one
    const __m256 n = _mm256_sub_ps(_mm256_add_ps(_mm256_mul_ps(a, constant(1.44269504f)), big), big);
    __m256 r = _mm256_sub_ps(a, _mm256_mul_ps(n, constant(0.693359375f)));
    r = _mm256_sub_ps(r, _mm256_mul_ps(n, constant(-2.12194440e-4f)));
    __m256 p = constant(1.9875691500e-4f);
    p = multiply_add(p, r, constant(1.3981999507e-3f));
    p = multiply_add(p, r, constant(8.3334519073e-3f));
    p = multiply_add(p, r, constant(4.1665795894e-2f));
    p = multiply_add(p, r, constant(1.6666665459e-1f));
    p = multiply_add(p, r, constant(5.0000001201e-1f));
    const __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvttps_epi32(n), _mm256_set1_epi32(127)), 23);
    const __m256 one = constant(1.0f);
    const __m256 sum = _mm256_add_ps(multiply_add(_mm256_mul_ps(p, r), r, r), one);
    const __m256 e = _mm256_mul_ps(sum, _mm256_castsi256_ps(power));
    return _mm256_div_ps(select(less(x, _mm256_setzero_ps()), e, one), _mm256_add_ps(one, e));
  }
};

template <class F, bool kSecond, bool kShift, class Lanes>
inline void eight(const Lanes& lanes, const float* in, const float* second, const float* shift, float* out) {
  const __m256 zero = _mm256_setzero_ps();
  lanes.store(out, F::of(lanes.load(in), kSecond ? lanes.load(second) : zero, kShift ? lanes.load(shift) : zero));
}

template <class F, bool kSecond, bool kShift>
void run_stage(const ElementwiseBlock& b) {
  const int64_t whole = b.channels / 8 * 8;
  const SomeLanes rest(b.channels - whole);
  for (int64_t p = 0; p < b.pixels; ++p) {
    const float* in = b.in + p * b.in_step;
    const float* second = kSecond ? b.second + p * b.second_step : in;
    const float* shift = kShift ? b.shift : in;
    float* out = b.out + p * b.out_step;
    for (int64_t c = 0; c < whole; c += 8) {
      eight<F, kSecond, kShift>(AllLanes(), in + c, second + c, shift + c, out + c);
    }
    if (whole < b.channels) {
      eight<F, kSecond, kShift>(rest, in + whole, second + whole, shift + whole, out + whole);
    }
  }
}

void run_clip(const ElementwiseBlock& b) {
  const __m256 lo = constant(b.second[0]);
  const __m256 hi = constant(b.second[1]);
  const int64_t whole = b.channels / 8 * 8;
  const SomeLanes rest(b.channels - whole);
  for (int64_t p = 0; p < b.pixels; ++p) {
    const float* in = b.in + p * b.in_step;
    float* out = b.out + p * b.out_step;
    for (int64_t c = 0; c < whole; c += 8) {
      _mm256_storeu_ps(out + c, clip(_mm256_loadu_ps(in + c), lo, hi));
    }
    if (whole < b.channels) {
      rest.store(out + whole, clip(rest.load(in + whole), lo, hi));
    }
  }
}

void run(const ElementwiseArgs& args, int64_t begin, int64_t end) {
  static constexpr ElementwiseRuns kRuns = {
      {run_stage<Affine, true, true>, run_stage<Add, true, false>, run_stage<Mul, true, false>,
       run_stage<Prelu, true, false>, run_stage<Relu, false, false>, run_clip, run_stage<Abs, false, false>,
       run_stage<HardSigmoid, false, false>, run_stage<Sigmoid, false, false>},
      sign_words};
  run_elementwise(args, kRuns, begin, end);
}

}  // namespace

constexpr ElementwiseKernel elementwise_x86_avx2 = {"elementwise_x86_avx2", Isa::kAvx2, run};

}  // namespace reactnet
