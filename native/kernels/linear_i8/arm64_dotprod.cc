#include <string.h>

#include "arm64_neon_lanes.h"
#include "arm64_neon_products.h"
#include "linear_i8/linear_i8.h"

namespace reactnet {
namespace {

#include "products128.h"

using P = Dots;

#include "linear_i8/lanes128.h"

}  // namespace

constexpr LinearI8Kernel linear_i8_arm64_dotprod = {
    "linear_i8_arm64_dotprod", Isa::kDotprod, supports, packed_bytes, pack, run};

}  // namespace reactnet
