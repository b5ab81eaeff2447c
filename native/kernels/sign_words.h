// Signs of pixels in registers of any width.
//
// An ISA's file includes this inside its own anonymous namespace, behind <arch>_<isa>_lanes.h.
#ifndef REACTNET_KERNELS_SIGN_WORDS_H_
#define REACTNET_KERNELS_SIGN_WORDS_H_

template <class Lanes>
inline Floats shifted(const Lanes& lanes, const float* in, const float* shift) {
  return add(lanes.load(in), lanes.load(shift));
}

inline uint64_t last_word(const float* in, const float* shift, int64_t count) {
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

// Bit c % 64 of word c / 64 is (in[c] + shift[c]) >= 0; tail bits are 0.
inline void sign_words(const float* in, const float* shift, int64_t channels, uint64_t* out) {
  for (; channels >= 64; channels -= 64, in += 64, shift += 64) {
    *out++ = word_not_negative([=](int64_t i) { return shifted(AllLanes(), in + i, shift + i); });
  }
  if (channels > 0) {
    *out = last_word(in, shift, channels);
  }
}

// The same of `pixels`, `in_step` and `words` apart.
inline void sign_pixels(const float* in, int64_t in_step, int64_t pixels, const float* shift, int64_t channels,
                        uint64_t* out, int64_t words) {
  if (channels == 32) {  // behind the stem of ReActNet-A: no loop over registers, no last few
    for (int64_t p = 0; p < pixels; ++p) {
      out[p * words] = last_word(in + p * in_step, shift, 32);
    }
    return;
  }
  for (int64_t p = 0; p < pixels; ++p) {
    sign_words(in + p * in_step, shift, channels, out + p * words);
  }
}

#endif  // REACTNET_KERNELS_SIGN_WORDS_H_
