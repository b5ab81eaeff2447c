// The VNNI kernel's own source, on any machine: see simde_shims.h.
#include "simde_shims.h"

#include "conv_u8/conv_u8.h"

namespace reactnet {
extern const ConvU8Kernel conv_u8_simde_avx512vnni;
}

#define conv_u8_x86_avx512vnni conv_u8_simde_avx512vnni
#include "conv_u8/x86_avx512vnni.cc"
