#include "isa.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace reactnet {
namespace {

constexpr const char* kNames[kIsas] = {"scalar", "avx2", "avx512", "neon", "dotprod", "wasm"};

#if defined(__x86_64__)

struct Cpuid {
  uint32_t eax, ebx, ecx, edx;
};

Cpuid cpuid(uint32_t leaf) {
  Cpuid r = {0, 0, 0, 0};
  if (__get_cpuid_count(leaf, 0, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) {
    return {0, 0, 0, 0};
  }
  return r;
}

// Which register states the operating system saves: a processor that has wide registers is not enough.
bool system_saves(uint32_t states) {
  if ((cpuid(1).ecx & (1u << 27)) == 0) {  // OSXSAVE
    return false;
  }
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & states) == states;
}

bool has_avx2() {
  const bool popcnt = (cpuid(1).ecx & (1u << 23)) != 0;
  const bool avx2 = (cpuid(7).ebx & (1u << 5)) != 0;
  return popcnt && avx2 && system_saves(0x6);  // xmm, ymm
}

#if defined(REACTNET_EMULATED_AVX512)  // the conformance suite's build: see native/tests/simde_shims.h
bool has_avx512() { return true; }
#else
bool has_avx512() {
  const uint32_t wanted_b = (1u << 16) | (1u << 17) | (1u << 30) | (1u << 31);  // f, dq, bw, vl
  const Cpuid leaf = cpuid(7);
  const uint32_t wanted_c = (1u << 11) | (1u << 14);  // vnni, vpopcntdq
  return has_avx2() && (leaf.ebx & wanted_b) == wanted_b && (leaf.ecx & wanted_c) == wanted_c &&
         system_saves(0xE6);  // and opmask, zmm
}
#endif

#elif defined(__aarch64__) && defined(__linux__)

bool has_dotprod() { return (getauxval(AT_HWCAP) & (1ul << 20)) != 0; }  // HWCAP_ASIMDDP

#elif defined(__aarch64__) && defined(__APPLE__)

bool has_dotprod() {
  int has = 0;
  size_t size = sizeof(has);
  return sysctlbyname("hw.optional.arm.FEAT_DotProd", &has, &size, nullptr, 0) == 0 && has != 0;
}

#elif defined(__aarch64__)

bool has_dotprod() { return false; }

#endif

}  // namespace

const char* isa_name(Isa isa) { return kNames[static_cast<int>(isa)]; }

bool isa_compiled(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return true;
#if defined(__x86_64__)
    case Isa::kAvx2:
    case Isa::kAvx512:
      return true;
#elif defined(__aarch64__)
    case Isa::kNeon:
    case Isa::kDotprod:
      return true;
#elif defined(__wasm__)
    case Isa::kWasm:
      return true;
#endif
    default:
      return false;
  }
}

bool isa_available(Isa isa) {
#if defined(__x86_64__)
  static const bool avx2 = has_avx2();
  static const bool avx512 = has_avx512();
  if (isa == Isa::kAvx2 || isa == Isa::kAvx512) {
    return isa == Isa::kAvx2 ? avx2 : avx512;
  }
#elif defined(__aarch64__)
  static const bool dotprod = has_dotprod();
  if (isa == Isa::kDotprod) {
    return dotprod;
  }
#endif
  return isa_compiled(isa);
}

bool cpu_has_sha256() {
#if defined(__x86_64__)
  const uint32_t sse = (1u << 9) | (1u << 19);  // ssse3, sse4.1, whose shuffles the kernel uses too
  static const bool has = (cpuid(1).ecx & sse) == sse && (cpuid(7).ebx & (1u << 29)) != 0;
  return has;
#elif defined(__aarch64__) && defined(__linux__)
  return (getauxval(AT_HWCAP) & (1u << 6)) != 0;  // HWCAP_SHA2
#else
  return false;
#endif
}

bool isa_parse(const char* name, Isa* out) {
  for (int i = 0; i < kIsas; ++i) {
    if (strcmp(name, kNames[i]) == 0) {
      *out = static_cast<Isa>(i);
      return true;
    }
  }
  return false;
}

Isa isa_best() {
  Isa best = Isa::kScalar;
  for (int i = 0; i < kIsas; ++i) {
    if (isa_available(static_cast<Isa>(i))) {
      best = static_cast<Isa>(i);
    }
  }
  return best;
}

}  // namespace reactnet
