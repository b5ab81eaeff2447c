// Plain loops over channels, for the compiler to vectorise.
#include <string.h>

#include "elementwise/blocks.h"
#include "select.h"

namespace reactnet {
namespace {

float clip(float x, float lo, float hi) {
  const float t = select(x < lo, lo, x);
  return select(hi < t, hi, t);
}

// 2^n for the n that sigmoid meets, -126 to 0.
float power_of_two(float n) {
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float y;
  memcpy(&y, &bits, sizeof(y));
  return y;
}

// A half to even, for |x| <= 2^22: at 1.5 * 2^23 the last bit of an f32 is worth one.
float round_to_even(float x) {
  const float big = 12582912.0f;
  return (x + big) - big;
}

float sigmoid(float x) {
  float a = -__builtin_fabsf(x);
  a = a > -87.0f ? a : -87.0f;
  const float n = round_to_even(a * 1.44269504f);
  float r = a - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float e = (((p * r) * r + r) + 1.0f) * power_of_two(n);
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

struct Affine {
  static float of(float x, float scale, float shift) { return x * scale + shift; }
};

struct Add {
  static float of(float x, float second, float) { return x + second; }
};

struct Mul {
  static float of(float x, float second, float) { return x * second; }
};

struct Prelu {
  static float of(float x, float slope, float) { return x >= 0.0f ? x : slope * x; }
};

struct Relu {
  static float of(float x, float, float) { return select(x < 0.0f, 0.0f, x); }
};

struct Abs {
  static float of(float x, float, float) { return __builtin_fabsf(x); }
};

struct HardSigmoid {
  static float of(float x, float, float) { return clip(x * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f); }
};

struct Sigmoid {
  static float of(float x, float, float) { return sigmoid(x); }
};

template <class F, bool kSecond, bool kShift>
void run_stage(const ElementwiseBlock& b) {
  for (int64_t p = 0; p < b.pixels; ++p) {
    const float* in = b.in + p * b.in_step;
    const float* second = kSecond ? b.second + p * b.second_step : nullptr;
    float* out = b.out + p * b.out_step;
    for (int64_t c = 0; c < b.channels; ++c) {
      out[c] = F::of(in[c], kSecond ? second[c] : 0.0f, kShift ? b.shift[c] : 0.0f);
    }
  }
}

void run_clip(const ElementwiseBlock& b) {
  const float lo = b.second[0];
  const float hi = b.second[1];
  for (int64_t p = 0; p < b.pixels; ++p) {
    for (int64_t c = 0; c < b.channels; ++c) {
      b.out[p * b.out_step + c] = clip(b.in[p * b.in_step + c], lo, hi);
    }
  }
}

void run_sign(const float* in, int64_t in_step, int64_t pixels, const float* shift, int64_t channels, uint64_t* out,
              int64_t words) {
  for (; pixels > 0; --pixels, in += in_step, out += words) {
    for (int64_t first = 0; first < channels; first += 64) {
      uint64_t word = 0;
      for (int64_t c = first; c < channels && c < first + 64; ++c) {
        word |= static_cast<uint64_t>(in[c] + shift[c] >= 0.0f) << (c - first);
      }
      out[first / 64] = word;
    }
  }
}

void run(const ElementwiseArgs& args, int64_t begin, int64_t end) {
  static constexpr ElementwiseRuns kRuns = {
      {run_stage<Affine, true, true>, run_stage<Add, true, false>, run_stage<Mul, true, false>,
       run_stage<Prelu, true, false>, run_stage<Relu, false, false>, run_clip, run_stage<Abs, false, false>,
       run_stage<HardSigmoid, false, false>, run_stage<Sigmoid, false, false>},
      run_sign};
  run_elementwise(args, kRuns, begin, end);
}

}  // namespace

constexpr ElementwiseKernel elementwise_scalar = {"elementwise_scalar", Isa::kScalar, run};

}  // namespace reactnet
