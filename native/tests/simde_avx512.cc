// The AVX-512 kernel's own source, on any machine: SIMDe's emulation stands in for the instructions that this one may
// lack.
#include "simde_shims.h"

#include "bconv2d/bconv2d.h"

#if !defined(REACTNET_EMULATED_AVX512)  // beside the real one
namespace reactnet {
extern const BConv2dKernel bconv2d_simde_avx512vpopcntdq;
}

#define bconv2d_x86_avx512vpopcntdq bconv2d_simde_avx512vpopcntdq
#endif
#include "bconv2d/x86_avx512vpopcntdq.cc"
