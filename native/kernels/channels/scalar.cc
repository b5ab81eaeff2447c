#include "channels/channels.h"

#include <string.h>

namespace reactnet {
namespace {

void run(const ChannelsArgs& args, int64_t begin, int64_t end) {
  for (int64_t p = begin; p < end; ++p) {
    for (int64_t t = 0; t < args.times; ++t) {
      memcpy(args.out + p * args.out_stride + t * args.count, args.in + p * args.in_stride,
             static_cast<size_t>(args.count) * sizeof(float));
    }
  }
}

}  // namespace

constexpr ChannelsKernel channels_scalar = {"channels_scalar", Isa::kScalar, run};

}  // namespace reactnet
