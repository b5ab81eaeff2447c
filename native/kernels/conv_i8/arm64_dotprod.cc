#include <string.h>

#include "arm64_neon_lanes.h"
#include "arm64_neon_products.h"
#include "conv_i8/conv_i8.h"
#include "patch.h"

namespace reactnet {
namespace {

#include "products128.h"

using P = Dots;
constexpr int kTile = 5;

#include "conv_i8/lanes128.h"

}  // namespace

constexpr ConvI8Kernel conv_i8_arm64_dotprod = {
    "conv_i8_arm64_dotprod", Isa::kDotprod, supports, packed_bytes, pack, run};

}  // namespace reactnet
