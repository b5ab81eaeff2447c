// The VNNI kernel's own source, on any machine: see simde_shims.h.
#include "simde_shims.h"

#include "conv_i8/conv_i8.h"

#if !defined(REACTNET_EMULATED_AVX512)  // beside the real one
namespace reactnet {
extern const ConvI8Kernel conv_i8_simde_avx512vnni;
}

#define conv_i8_x86_avx512vnni conv_i8_simde_avx512vnni
#endif
#include "conv_i8/x86_avx512vnni.cc"
