// The AVX-512 kernel's own source, on any machine: see simde_shims.h.
#include "simde_shims.h"

#include "conv_f32/conv_f32.h"

#if !defined(REACTNET_EMULATED_AVX512)  // beside the real one
namespace reactnet {
extern const ConvF32Kernel conv_f32_simde_avx512_depthwise;
}

#define conv_f32_x86_avx512_depthwise conv_f32_simde_avx512_depthwise
#endif
#include "conv_f32/x86_avx512_depthwise.cc"
