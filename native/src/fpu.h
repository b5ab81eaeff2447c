// The arithmetic of docs/format.md wants round to nearest even and no flush to zero, whatever the host program has set.
#ifndef REACTNET_SRC_FPU_H_
#define REACTNET_SRC_FPU_H_

#include <cstdint>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace reactnet {

// Sets this thread's floating-point control word for as long as it lives, then puts the old one back.
class FpuGuard {
 public:
#if defined(__SSE2__)
  FpuGuard() : saved_(_mm_getcsr()) { _mm_setcsr(kDefault); }
  ~FpuGuard() { _mm_setcsr(saved_); }
#elif defined(__aarch64__)
  FpuGuard() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved_) : : "memory");
    const std::uint64_t plain = 0;
    __asm__ volatile("msr fpcr, %0" : : "r"(plain) : "memory");
  }
  ~FpuGuard() { __asm__ volatile("msr fpcr, %0" : : "r"(saved_) : "memory"); }
#else
  FpuGuard() = default;  // WebAssembly has no such word: it always rounds as the format wants
  ~FpuGuard() {}
#endif
  FpuGuard(const FpuGuard&) = delete;
  FpuGuard& operator=(const FpuGuard&) = delete;

 private:
#if defined(__SSE2__)
  static constexpr unsigned kDefault = 0x1F80;  // nearest even, exceptions masked, neither FTZ nor DAZ
  unsigned saved_;
#elif defined(__aarch64__)
  std::uint64_t saved_ = 0;
#endif
};

}  // namespace reactnet

#endif  // REACTNET_SRC_FPU_H_
