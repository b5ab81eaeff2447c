#include "quantize/quantize.h"

namespace reactnet {
namespace {

float max_abs(const float* in, int64_t begin, int64_t end) {
  float m = 0.0f;
  for (int64_t i = begin; i < end; ++i) {
    const float a = __builtin_fabsf(in[i]);
    m = a > m ? a : m;
  }
  return m;
}

// rint of |t| <= 127, a half to even: at 1.5 * 2^23 the last bit of an f32 is worth one.
int8_t round_to_even(float t) {
  const float big = 12582912.0f;
  const float rounded = (t + big) - big;
  return static_cast<int8_t>(rounded);
}

void run(const QuantizeArgs& args, int64_t begin, int64_t end) {
  if (begin == 0) {
    *args.scale = args.max == 0.0f ? 0.0f : args.max / 127.0f;
  }
  const float inv = args.max == 0.0f ? 0.0f : 127.0f / args.max;
  for (int64_t i = begin; i < end; ++i) {
    float t = args.in[i] * inv;
    t = t > -127.0f ? t : -127.0f;
    t = t < 127.0f ? t : 127.0f;
    args.out[i] = args.max == 0.0f ? static_cast<int8_t>(0) : round_to_even(t);
  }
}

}  // namespace

constexpr QuantizeKernel quantize_scalar = {"quantize_scalar", Isa::kScalar, max_abs, run};

}  // namespace reactnet
