#include "sign/sign.h"
#include "x86_avx2_lanes.h"

namespace reactnet {
namespace {

#include "sign_words.h"

#include "sign/lanes.h"

}  // namespace

constexpr SignKernel sign_x86_avx2 = {"sign_x86_avx2", Isa::kAvx2, run};

}  // namespace reactnet
