#include <string.h>

#include "arm64_neon_lanes.h"
#include "arm64_neon_products.h"
#include "conv_i8/conv_i8.h"
#include "patch.h"

namespace reactnet {
namespace {

#include "products128.h"

using P = Bytes;
constexpr int kTile = 4;

#include "conv_i8/lanes128.h"

}  // namespace

constexpr ConvI8Kernel conv_i8_arm64_neon = {"conv_i8_arm64_neon", Isa::kNeon, supports, packed_bytes, pack, run};

}  // namespace reactnet
