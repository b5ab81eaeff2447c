#include "elementwise/blocks.h"
#include "x86_avx512_lanes.h"

namespace reactnet {
namespace {

#include "sign_words.h"

#include "elementwise/lanes.h"

}  // namespace

constexpr ElementwiseKernel elementwise_x86_avx512 = {"elementwise_x86_avx512", Isa::kAvx512, run};

}  // namespace reactnet
