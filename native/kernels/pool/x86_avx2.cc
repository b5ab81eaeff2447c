#include "pool/pool.h"
#include "x86_avx2_lanes.h"

namespace reactnet {
namespace {

#include "pool/lanes.h"

}  // namespace

constexpr PoolKernel pool_x86_avx2 = {
    "pool_x86_avx2", Isa::kAvx2, {run<window_box, Mean>, run<window_box, Maximum>, run<bin_box, Mean>}};

}  // namespace reactnet
