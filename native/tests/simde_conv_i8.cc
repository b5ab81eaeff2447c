// The VNNI kernel's own source, on any machine: see simde_shims.h.
#include "simde_shims.h"

#include "conv_i8/conv_i8.h"

namespace reactnet {
extern const ConvI8Kernel conv_i8_simde_avx512vnni;
}

#define conv_i8_x86_avx512vnni conv_i8_simde_avx512vnni
#include "conv_i8/x86_avx512vnni.cc"
