#include "pool/pool.h"
#include "x86_avx512_lanes.h"

namespace reactnet {
namespace {

#include "pool/lanes.h"

}  // namespace

constexpr PoolKernel pool_x86_avx512 = {
    "pool_x86_avx512", Isa::kAvx512, {run<window_box, Mean>, run<window_box, Maximum>, run<bin_box, Mean>}};

}  // namespace reactnet
