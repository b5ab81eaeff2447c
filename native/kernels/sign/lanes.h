// sign in registers of any width. One pass over the map: its memory sets the speed.
//
// An ISA's file includes this inside its own anonymous namespace, behind <arch>_<isa>_lanes.h.
#ifndef REACTNET_KERNELS_SIGN_LANES_H_
#define REACTNET_KERNELS_SIGN_LANES_H_

template <class Lanes>
inline Floats shifted(const Lanes& lanes, const float* in, const float* shift) {
  return add(lanes.load(in), lanes.load(shift));
}

inline uint64_t whole_word(const float* in, const float* shift) {
  return word_not_negative([=](int64_t i) { return shifted(AllLanes(), in + i, shift + i); });
}

uint64_t last_word(const float* in, const float* shift, int64_t count) {
  uint64_t word = 0;
  int64_t c = 0;
  for (; c + kLanes <= count; c += kLanes) {
    word |= static_cast<uint64_t>(not_negative(shifted(AllLanes(), in + c, shift + c))) << c;
  }
  if (c < count) {
    const uint64_t tail = not_negative(shifted(SomeLanes(count - c), in + c, shift + c));
    word |= (tail & ((uint64_t{1} << (count - c)) - 1)) << c;
  }
  return word;
}

void run(const SignArgs& args, int64_t begin, int64_t end) {
  const int64_t whole = args.channels / 64;
  const int64_t left = args.channels % 64;
  const float* in = args.in + begin * args.channels;
  uint64_t* out = args.out + begin * (whole + (left != 0 ? 1 : 0));
  for (int64_t p = begin; p < end; ++p) {
    for (int64_t w = 0; w < whole; ++w) {
      *out++ = whole_word(in + w * 64, args.shift + w * 64);
    }
    if (left != 0) {
      *out++ = last_word(in + whole * 64, args.shift + whole * 64, left);
    }
    in += args.channels;
  }
}

#endif  // REACTNET_KERNELS_SIGN_LANES_H_
