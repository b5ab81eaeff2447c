#include "normalize/normalize.h"

namespace reactnet {
namespace {

void run(const NormalizeArgs& args, int64_t begin, int64_t end) {
  const int64_t channels = args.channels;
  for (int64_t p = begin; p < end; ++p) {
    for (int64_t c = 0; c < channels; ++c) {
      args.out[p * channels + c] = args.table[args.in[p * channels + c] * channels + c];
    }
  }
}

}  // namespace

constexpr NormalizeKernel normalize_scalar = {"normalize_scalar", Isa::kScalar, run};

}  // namespace reactnet
