#include "normalize/normalize.h"

namespace reactnet {
namespace {

// kChannels 0: as many as the arguments say. Known, they make the index of a look-up one instruction.
template <int64_t kChannels>
void look_up(const NormalizeArgs& args, int64_t begin, int64_t end) {
  const int64_t channels = kChannels == 0 ? args.channels : kChannels;
  const uint8_t* __restrict in = args.in + begin * channels;
  float* __restrict out = args.out + begin * channels;
  for (int64_t p = begin; p < end; ++p) {
    for (int64_t c = 0; c < channels; ++c) {
      out[c] = args.table[in[c] * channels + c];
    }
    in += channels;
    out += channels;
  }
}

void run(const NormalizeArgs& args, int64_t begin, int64_t end) {
  if (args.channels == 3) {
    look_up<3>(args, begin, end);
  } else {
    look_up<0>(args, begin, end);
  }
}

}  // namespace

constexpr NormalizeKernel normalize_scalar = {"normalize_scalar", Isa::kScalar, run};

}  // namespace reactnet
