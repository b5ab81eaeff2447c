// The AVX-512 kernel's own source, on any machine: see simde_shims.h.
#include "simde_shims.h"

#include "pool/pool.h"

#if !defined(REACTNET_EMULATED_AVX512)  // beside the real one
namespace reactnet {
extern const PoolKernel pool_simde_avx512;
}

#define pool_x86_avx512 pool_simde_avx512
#endif
#include "pool/x86_avx512.cc"
