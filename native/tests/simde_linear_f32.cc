// The AVX-512 kernel's own source, on any machine: see simde_shims.h.
#include "simde_shims.h"

#include "linear_f32/linear_f32.h"

#if !defined(REACTNET_EMULATED_AVX512)  // beside the real one
namespace reactnet {
extern const LinearF32Kernel linear_f32_simde_avx512;
}

#define linear_f32_x86_avx512 linear_f32_simde_avx512
#endif
#include "linear_f32/x86_avx512.cc"
