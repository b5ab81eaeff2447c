// The VNNI kernel's own source, on any machine: see simde_shims.h.
#include "simde_shims.h"

#include "linear_i8/linear_i8.h"

#if !defined(REACTNET_EMULATED_AVX512)  // beside the real one
namespace reactnet {
extern const LinearI8Kernel linear_i8_simde_avx512vnni;
}

#define linear_i8_x86_avx512vnni linear_i8_simde_avx512vnni
#endif
#include "linear_i8/x86_avx512vnni.cc"
