// Plain loops over channels, for the compiler to vectorise.
#include <string.h>

#include "elementwise/elementwise.h"
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

void run_affine(const ElementwiseArgs& args, int64_t begin, int64_t end) {
  for (int64_t p = begin; p < end; ++p) {
    const float* in = args.in + p * args.channels;
    float* out = args.out + p * args.channels;
    for (int64_t c = 0; c < args.channels; ++c) {
      const float y = in[c] * args.second[c];
      out[c] = y + args.shift[c];
    }
  }
}

void run_prelu(const ElementwiseArgs& args, int64_t begin, int64_t end) {
  for (int64_t p = begin; p < end; ++p) {
    const float* in = args.in + p * args.channels;
    float* out = args.out + p * args.channels;
    for (int64_t c = 0; c < args.channels; ++c) {
      const float negative = args.second[c] * in[c];
      out[c] = in[c] >= 0.0f ? in[c] : negative;
    }
  }
}

struct Add {
  static float of(float a, float b) { return a + b; }
};

struct Mul {
  static float of(float a, float b) { return a * b; }
};

template <class F>
void run_binary(const ElementwiseArgs& args, int64_t begin, int64_t end) {
  for (int64_t p = begin; p < end; ++p) {
    const float* in = args.in + p * args.channels;
    const float* second = args.second + (args.second_is_pixel ? 0 : p * args.channels);
    float* out = args.out + p * args.channels;
    for (int64_t c = 0; c < args.channels; ++c) {
      out[c] = F::of(in[c], second[c]);
    }
  }
}

void run_clip(const ElementwiseArgs& args, int64_t begin, int64_t end) {
  const float lo = args.second[0];
  const float hi = args.second[1];
  for (int64_t i = begin * args.channels; i < end * args.channels; ++i) {
    args.out[i] = clip(args.in[i], lo, hi);
  }
}

struct Relu {
  static float of(float x) { return select(x < 0.0f, 0.0f, x); }
};

struct Abs {
  static float of(float x) { return __builtin_fabsf(x); }
};

struct HardSigmoid {
  static float of(float x) { return clip(x * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f); }
};

struct Sigmoid {
  static float of(float x) { return sigmoid(x); }
};

template <class F>
void run_unary(const ElementwiseArgs& args, int64_t begin, int64_t end) {
  for (int64_t i = begin * args.channels; i < end * args.channels; ++i) {
    args.out[i] = F::of(args.in[i]);
  }
}

}  // namespace

constexpr ElementwiseKernel elementwise_scalar = {
    "elementwise_scalar",
    Isa::kScalar,
    {run_affine, run_binary<Add>, run_binary<Mul>, run_prelu, run_unary<Relu>, run_clip, run_unary<Abs>,
     run_unary<HardSigmoid>, run_unary<Sigmoid>}};

}  // namespace reactnet
