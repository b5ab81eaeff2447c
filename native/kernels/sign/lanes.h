// sign in registers of any width. One pass over the map: its memory sets the speed.
//
// An ISA's file includes this inside its own anonymous namespace, behind <arch>_<isa>_lanes.h and sign_words.h.
#ifndef REACTNET_KERNELS_SIGN_LANES_H_
#define REACTNET_KERNELS_SIGN_LANES_H_

void run(const SignArgs& args, int64_t begin, int64_t end) {
  const int64_t words = (args.channels + 63) / 64;
  sign_pixels(args.in + begin * args.channels, args.channels, end - begin, args.shift, args.channels,
              args.out + begin * words, words);
}

#endif  // REACTNET_KERNELS_SIGN_LANES_H_
