// Element-wise stages in registers of any width. Selects are a comparison and a choice: an instruction's own minimum
// and maximum have other rules for zeros and NaNs.
//
// An ISA's file includes this inside its own anonymous namespace, behind <arch>_<isa>_lanes.h, elementwise/blocks.h and
// sign_words.h.
#ifndef REACTNET_KERNELS_ELEMENTWISE_LANES_H_
#define REACTNET_KERNELS_ELEMENTWISE_LANES_H_

inline Floats multiply_add(Floats a, Floats b, Floats c) { return add(multiply(a, b), c); }  // two roundings

inline Floats clip(Floats x, Floats lo, Floats hi) {
  const Floats t = where_less(x, lo, lo, x);
  return where_less(hi, t, hi, t);
}

struct Affine {
  static inline Floats of(Floats x, Floats scale, Floats shift) { return multiply_add(x, scale, shift); }
};

struct Add {
  static inline Floats of(Floats x, Floats second, Floats) { return add(x, second); }
};

struct Mul {
  static inline Floats of(Floats x, Floats second, Floats) { return multiply(x, second); }
};

struct Prelu {
  static inline Floats of(Floats x, Floats slope, Floats) { return where_not_negative(x, multiply(slope, x)); }
};

struct Relu {
  static inline Floats of(Floats x, Floats, Floats) { return where_less(x, zero_floats(), zero_floats(), x); }
};

struct Abs {
  static inline Floats of(Floats x, Floats, Floats) { return magnitude(x); }
};

struct HardSigmoid {
  static inline Floats of(Floats x, Floats, Floats) {
    return clip(multiply_add(x, set_floats(1.0f / 6.0f), set_floats(0.5f)), zero_floats(), set_floats(1.0f));
  }
};

// As scalar.cc has it, operation by operation.
struct Sigmoid {
  static inline Floats of(Floats x, Floats, Floats) {
    const Floats a = larger(negative_magnitude(x), set_floats(-87.0f));
    const Floats big = set_floats(12582912.0f);  // at 1.5 * 2^23 the last bit of an f32 is worth one
    const Floats n = subtract(add(multiply(a, set_floats(1.44269504f)), big), big);
    Floats r = subtract(a, multiply(n, set_floats(0.693359375f)));
    r = subtract(r, multiply(n, set_floats(-2.12194440e-4f)));
    Floats p = set_floats(1.9875691500e-4f);
    p = multiply_add(p, r, set_floats(1.3981999507e-3f));
    p = multiply_add(p, r, set_floats(8.3334519073e-3f));
    p = multiply_add(p, r, set_floats(4.1665795894e-2f));
    p = multiply_add(p, r, set_floats(1.6666665459e-1f));
    p = multiply_add(p, r, set_floats(5.0000001201e-1f));
    const Floats one = set_floats(1.0f);
    const Floats e = multiply(add(multiply_add(multiply(p, r), r, r), one), power_of_two(n));
    return divide(where_less(x, zero_floats(), e, one), add(one, e));
  }
};

template <class F, bool kSecond, bool kShift, class Lanes>
inline void some(const Lanes& lanes, const float* in, const float* second, const float* shift, float* out) {
  lanes.store(out, F::of(lanes.load(in), kSecond ? lanes.load(second) : zero_floats(),
                         kShift ? lanes.load(shift) : zero_floats()));
}

template <class F, bool kSecond, bool kShift>
void run_stage(const ElementwiseBlock& b) {
  const int64_t whole = b.channels / kLanes * kLanes;
  const SomeLanes rest(b.channels - whole);
  for (int64_t p = 0; p < b.pixels; ++p) {
    const float* in = b.in + p * b.in_step;
    const float* second = kSecond ? b.second + p * b.second_step : in;
    const float* shift = kShift ? b.shift : in;
    float* out = b.out + p * b.out_step;
    for (int64_t c = 0; c < whole; c += kLanes) {
      some<F, kSecond, kShift>(AllLanes(), in + c, second + c, shift + c, out + c);
    }
    if (whole < b.channels) {
      some<F, kSecond, kShift>(rest, in + whole, second + whole, shift + whole, out + whole);
    }
  }
}

void run_clip(const ElementwiseBlock& b) {
  const Floats lo = set_floats(b.second[0]);
  const Floats hi = set_floats(b.second[1]);
  const int64_t whole = b.channels / kLanes * kLanes;
  const SomeLanes rest(b.channels - whole);
  for (int64_t p = 0; p < b.pixels; ++p) {
    const float* in = b.in + p * b.in_step;
    float* out = b.out + p * b.out_step;
    for (int64_t c = 0; c < whole; c += kLanes) {
      AllLanes::store(out + c, clip(AllLanes::load(in + c), lo, hi));
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
      sign_pixels};
  if (kLanes > 4 && args.count == 0) {  // signs alone, in one go; narrow registers gain nothing from it
    const int64_t words = (args.channels + 63) / 64;
    sign_pixels(args.in + begin * args.channels, args.channels, end - begin, args.next_shift, args.channels,
                args.out_bits + begin * words, words);
    return;
  }
  run_elementwise(args, kRuns, begin, end);
}

#endif  // REACTNET_KERNELS_ELEMENTWISE_LANES_H_
