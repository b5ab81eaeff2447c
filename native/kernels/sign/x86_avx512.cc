#include "sign/sign.h"
#include "x86_avx512_lanes.h"

namespace reactnet {
namespace {

#include "sign_words.h"

#include "sign/lanes.h"

}  // namespace

constexpr SignKernel sign_x86_avx512 = {"sign_x86_avx512", Isa::kAvx512, run};

}  // namespace reactnet
