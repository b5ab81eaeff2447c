// Eight comparisons give eight bits of a word. One pass over the map: its memory sets the speed.
#include "sign/sign.h"
#include "x86_avx2_lanes.h"

namespace reactnet {
namespace {

void run(const SignArgs& args, int64_t begin, int64_t end) {
  const int64_t words = (args.channels + 63) / 64;
  for (int64_t p = begin; p < end; ++p) {
    sign_words(args.in + p * args.channels, args.shift, args.channels, args.out + p * words);
  }
}

}  // namespace

constexpr SignKernel sign_x86_avx2 = {"sign_x86_avx2", Isa::kAvx2, run};

}  // namespace reactnet
