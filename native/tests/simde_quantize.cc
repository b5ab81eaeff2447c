// The AVX-512 kernel's own source, on any machine: see simde_shims.h.
#include "simde_shims.h"

#include "quantize/quantize.h"

#if !defined(REACTNET_EMULATED_AVX512)  // beside the real one
namespace reactnet {
extern const QuantizeKernel quantize_simde_avx512;
}

#define quantize_x86_avx512 quantize_simde_avx512
#endif
#include "quantize/x86_avx512.cc"
