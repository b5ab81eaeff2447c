// quantize in registers of any width, four of them at a time.
//
// An ISA's file includes this inside its own anonymous namespace, behind <arch>_<isa>_lanes.h.
#ifndef REACTNET_KERNELS_QUANTIZE_LANES_H_
#define REACTNET_KERNELS_QUANTIZE_LANES_H_

constexpr int64_t kAtOnce = 4 * kLanes;

float max_abs(const float* in, int64_t begin, int64_t end) {
  Floats most[4] = {zero_floats(), zero_floats(), zero_floats(), zero_floats()};
  int64_t i = begin;
  for (; i + kAtOnce <= end; i += kAtOnce) {
    for (int r = 0; r < 4; ++r) {
      most[r] = larger(magnitude(AllLanes::load(in + i + r * kLanes)), most[r]);
    }
  }
  float lanes[kLanes];  // no NaN among them: from here on any order will do
  AllLanes::store(lanes, larger(larger(most[0], most[1]), larger(most[2], most[3])));
  float m = 0.0f;
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    m = lanes[lane] > m ? lanes[lane] : m;
  }
  for (; i < end; ++i) {
    const float a = __builtin_fabsf(in[i]);
    m = a > m ? a : m;
  }
  return m;
}

// kAtOnce numbers.
inline void round_many(const float* in, Floats inv, int8_t* out) {
  Floats t[4];
  for (int r = 0; r < 4; ++r) {
    t[r] = multiply(AllLanes::load(in + r * kLanes), inv);
    t[r] = smaller(larger(t[r], set_floats(-127.0f)), set_floats(127.0f));
  }
  store_rounded(out, t);
}

void run(const QuantizeArgs& args, int64_t begin, int64_t end) {
  if (begin == 0) {
    *args.scale = args.max == 0.0f ? 0.0f : args.max / 127.0f;
  }
  if (args.max == 0.0f) {
    memset(args.out + begin, 0, static_cast<size_t>(end - begin));
    return;
  }
  const Floats inv = set_floats(127.0f / args.max);
  int64_t i = begin;
  for (; i + kAtOnce <= end; i += kAtOnce) {
    round_many(args.in + i, inv, args.out + i);
  }
  if (i < end) {
    float in[kAtOnce] = {};
    int8_t out[kAtOnce];
    memcpy(in, args.in + i, static_cast<size_t>(end - i) * sizeof(float));
    round_many(in, inv, out);
    memcpy(args.out + i, out, static_cast<size_t>(end - i));
  }
}

#endif  // REACTNET_KERNELS_QUANTIZE_LANES_H_
