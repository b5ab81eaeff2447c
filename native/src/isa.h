// Instruction sets that kernels are written for, and which of them this machine has.
// C headers only: kernel files, which are built with their own flags, include this one.
#ifndef REACTNET_SRC_ISA_H_
#define REACTNET_SRC_ISA_H_

#include <stdint.h>

namespace reactnet {

// Among those of one architecture, a later one includes the earlier ones.
enum class Isa : uint8_t {
  kScalar,  // what the compiler makes of plain C++ for the baseline of the architecture
  kAvx2,    // avx2, popcnt
  kAvx512,  // avx512 f, bw, dq, vl, vpopcntdq, vnni: Ice Lake, Zen 4 and later have them all
  kNeon,    // aarch64
  kDotprod,  // aarch64 with sdot: Armv8.4, and most cores of Armv8.2
  kWasm,    // simd128
};
inline constexpr int kIsas = 6;

const char* isa_name(Isa isa);               // "scalar", "avx2", "avx512", "neon", "dotprod", "wasm"
bool isa_compiled(Isa isa);                  // this build has kernels for it
bool isa_available(Isa isa);                 // compiled, and the processor and the system support it
bool isa_parse(const char* name, Isa* out);  // false: no such name
Isa isa_best();                              // the last available one
bool cpu_has_sha256();                       // SHA-NI, or Armv8's SHA-2: for the file's hash alone

// The rule of REACTNET_ISA: a kernel may be used if its ISA is available and not past the ceiling.
inline bool isa_allowed(Isa isa, Isa ceiling) { return isa <= ceiling && isa_available(isa); }

}  // namespace reactnet

#endif  // REACTNET_SRC_ISA_H_
