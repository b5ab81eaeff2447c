// The AVX-512 kernel's own source, on any machine: SIMDe's emulation stands in for the instructions that this one may
// lack.
#include <immintrin.h>
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/avx512/popcnt.h>

#include <string.h>

#include "bconv2d/bconv2d.h"

// What SIMDe 0.7 lacks. Lanes that are masked out touch no memory.
static simde__m512 masked_load(simde__mmask16 lanes, const float* p) {
  float v[16] = {};
  for (int i = 0; i < 16; ++i) {
    if (lanes >> i & 1) v[i] = p[i];
  }
  return simde_mm512_loadu_ps(v);
}

static void masked_store(float* p, simde__mmask16 lanes, simde__m512 value) {
  float v[16];
  simde_mm512_storeu_ps(v, value);
  for (int i = 0; i < 16; ++i) {
    if (lanes >> i & 1) p[i] = v[i];
  }
}

static simde__m512 to_float(simde__m512i value) {
  int32_t from[16];
  float to[16];
  memcpy(from, &value, sizeof(from));
  for (int i = 0; i < 16; ++i) to[i] = static_cast<float>(from[i]);
  return simde_mm512_loadu_ps(to);
}

#define _mm512_maskz_loadu_ps masked_load
#define _mm512_mask_storeu_ps masked_store
#define _mm512_cvtepi32_ps to_float

namespace reactnet {
extern const BConv2dKernel bconv2d_simde_avx512vpopcntdq;
}

#define bconv2d_x86_avx512vpopcntdq bconv2d_simde_avx512vpopcntdq
#include "bconv2d/x86_avx512vpopcntdq.cc"
