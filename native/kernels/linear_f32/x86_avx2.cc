#include <string.h>

#include "linear_f32/linear_f32.h"
#include "x86_avx2_lanes.h"

namespace reactnet {
namespace {

constexpr int kSums = 8;

#include "linear_f32/lanes.h"

}  // namespace

constexpr LinearF32Kernel linear_f32_x86_avx2 = {"linear_f32_x86_avx2", Isa::kAvx2, supports, packed_bytes, pack, run};

}  // namespace reactnet
