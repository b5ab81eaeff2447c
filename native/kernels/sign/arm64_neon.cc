#include "arm64_neon_lanes.h"
#include "sign/sign.h"

namespace reactnet {
namespace {

#include "sign_words.h"

#include "sign/lanes.h"

}  // namespace

constexpr SignKernel sign_arm64_neon = {"sign_arm64_neon", Isa::kNeon, run};

}  // namespace reactnet
