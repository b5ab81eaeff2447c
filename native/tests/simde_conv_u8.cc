// The VNNI kernel's own source, on any machine: see simde_shims.h.
#include "simde_shims.h"

#include "conv_u8/conv_u8.h"

#if !defined(REACTNET_EMULATED_AVX512)  // beside the real one
namespace reactnet {
extern const ConvU8Kernel conv_u8_simde_avx512vnni;
}

#define conv_u8_x86_avx512vnni conv_u8_simde_avx512vnni
#endif
#include "conv_u8/x86_avx512vnni.cc"
