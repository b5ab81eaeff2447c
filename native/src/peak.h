// The popcount peak of this core: what a binary convolution is held against.
#ifndef REACTNET_SRC_PEAK_H_
#define REACTNET_SRC_PEAK_H_

namespace reactnet {

// The best rate, in 10^9 one-bit products a second, at which the plain loops of this machine's ISAs (every one that it
// has, whatever ceiling is set) xor, popcount and add. Takes about `seconds`; short runs alternate and the fastest of
// each counts.
double popcount_peak_gmacs(double seconds);

}  // namespace reactnet

#endif  // REACTNET_SRC_PEAK_H_
