// The AVX-512 kernel's own source, on any machine: see simde_shims.h.
#include "simde_shims.h"

#include "sign/sign.h"

#if !defined(REACTNET_EMULATED_AVX512)  // beside the real one
namespace reactnet {
extern const SignKernel sign_simde_avx512;
}

#define sign_x86_avx512 sign_simde_avx512
#endif
#include "sign/x86_avx512.cc"
