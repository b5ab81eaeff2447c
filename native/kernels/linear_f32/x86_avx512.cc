#include <string.h>

#include "linear_f32/linear_f32.h"
#include "x86_avx512_lanes.h"

namespace reactnet {
namespace {

constexpr int kSums = 4;

#include "linear_f32/lanes.h"

}  // namespace

constexpr LinearF32Kernel linear_f32_x86_avx512 = {
    "linear_f32_x86_avx512", Isa::kAvx512, supports, packed_bytes, pack, run};

}  // namespace reactnet
