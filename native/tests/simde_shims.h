// SIMDe's emulation of AVX-512, and what SIMDe 0.7 lacks of it, under the names that kernels use. Included first by the
// simde_*.cc files, which compile a kernel's own source once more: so its bits are checked on any machine.
#ifndef REACTNET_TESTS_SIMDE_SHIMS_H_
#define REACTNET_TESTS_SIMDE_SHIMS_H_

#include <immintrin.h>
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/avx512/popcnt.h>

#include <string.h>

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

// Under the processor's own way of rounding, as the instruction does.
static simde__m512i rounded(simde__m512 value) {
  float from[16];
  int32_t to[16];
  simde_mm512_storeu_ps(from, value);
  for (int i = 0; i < 16; ++i) to[i] = static_cast<int32_t>(__builtin_nearbyintf(from[i]));
  return simde_mm512_loadu_si512(to);
}

static simde__m512i truncated(simde__m512 value) {
  float from[16];
  int32_t to[16];
  simde_mm512_storeu_ps(from, value);
  for (int i = 0; i < 16; ++i) to[i] = static_cast<int32_t>(from[i]);
  return simde_mm512_loadu_si512(to);
}

static simde__m512i masked_load_bytes(simde__mmask64 lanes, const void* p) {
  int8_t v[64] = {};
  for (int i = 0; i < 64; ++i) {
    if (lanes >> i & 1) v[i] = static_cast<const int8_t*>(p)[i];
  }
  return simde_mm512_loadu_si512(v);
}

static void masked_store_bytes(void* p, simde__mmask64 lanes, simde__m512i value) {
  int8_t v[64];
  simde_mm512_storeu_si512(v, value);
  for (int i = 0; i < 64; ++i) {
    if (lanes >> i & 1) static_cast<int8_t*>(p)[i] = v[i];
  }
}

static simde__m512i masked_load_numbers(simde__mmask16 lanes, const void* p) {
  int32_t v[16] = {};
  for (int i = 0; i < 16; ++i) {
    if (lanes >> i & 1) memcpy(v + i, static_cast<const int32_t*>(p) + i, sizeof(*v));
  }
  return simde_mm512_loadu_si512(v);
}

static void masked_store_numbers(void* p, simde__mmask16 lanes, simde__m512i value) {
  int32_t v[16];
  simde_mm512_storeu_si512(v, value);
  for (int i = 0; i < 16; ++i) {
    if (lanes >> i & 1) memcpy(static_cast<int32_t*>(p) + i, v + i, sizeof(*v));
  }
}

// SIMDe's adds as signed numbers, whose overflow means nothing in C++; the instruction wraps, and kernels count on
// that.
static simde__m512i multiply_bytes(simde__m512i sums, simde__m512i pixels, simde__m512i weights) {
  uint32_t sum[16];
  uint8_t x[64];
  int8_t w[64];
  memcpy(sum, &sums, sizeof(sum));
  memcpy(x, &pixels, sizeof(x));
  memcpy(w, &weights, sizeof(w));
  for (int i = 0; i < 64; ++i) sum[i / 4] += static_cast<uint32_t>(x[i] * w[i]);
  return simde_mm512_loadu_si512(sum);
}

#define _mm512_dpbusd_epi32 multiply_bytes
#define _mm512_maskz_loadu_ps masked_load
#define _mm512_mask_storeu_ps masked_store
#define _mm512_cvtepi32_ps to_float
#define _mm512_cvtps_epi32 rounded
#define _mm512_cvttps_epi32 truncated
#define _mm512_maskz_loadu_epi32 masked_load_numbers
#define _mm512_mask_storeu_epi32 masked_store_numbers
#define _mm512_maskz_loadu_epi8 masked_load_bytes
#define _mm512_mask_storeu_epi8 masked_store_bytes

#endif  // REACTNET_TESTS_SIMDE_SHIMS_H_
