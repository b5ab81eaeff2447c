#include "elementwise/blocks.h"
#include "x86_avx2_lanes.h"

namespace reactnet {
namespace {

#include "sign_words.h"

#include "elementwise/lanes.h"

}  // namespace

constexpr ElementwiseKernel elementwise_x86_avx2 = {"elementwise_x86_avx2", Isa::kAvx2, run};

}  // namespace reactnet
