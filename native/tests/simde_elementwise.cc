// The AVX-512 kernel's own source, on any machine: see simde_shims.h.
#include "simde_shims.h"

#include "elementwise/elementwise.h"

#if !defined(REACTNET_EMULATED_AVX512)  // beside the real one
namespace reactnet {
extern const ElementwiseKernel elementwise_simde_avx512;
}

#define elementwise_x86_avx512 elementwise_simde_avx512
#endif
#include "elementwise/x86_avx512.cc"
