// Plain C++: sixteen words add up in bytes before one of them is widened.
#include "peak/peak.h"

namespace reactnet {
namespace {

constexpr int kWords = 16;

#if defined(__x86_64__) && !defined(__POPCNT__)
uint64_t byte_counts(uint64_t v) {
  v = v - ((v >> 1) & 0x5555555555555555u);
  v = (v & 0x3333333333333333u) + ((v >> 2) & 0x3333333333333333u);
  return (v + (v >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
}
#endif

uint64_t run(int64_t rounds, uint64_t seed) {
  uint64_t words[kWords];
  for (int i = 0; i < kWords; ++i) {
    words[i] = seed * static_cast<uint64_t>(2 * i + 1);
  }
  uint64_t total = 0;
  for (int64_t r = 0; r < rounds; ++r) {
    __asm__ volatile("" : "+r"(seed));  // a word that the compiler knows nothing of
#if defined(__x86_64__) && !defined(__POPCNT__)
    uint64_t bytes = 0;
    for (int i = 0; i < kWords; ++i) {
      bytes += byte_counts(words[i] ^ seed);
    }
    const uint64_t pairs = (bytes & 0x00FF00FF00FF00FFu) + ((bytes >> 8) & 0x00FF00FF00FF00FFu);
    total += (pairs * 0x0001000100010001u) >> 48;
#else
    for (int i = 0; i < kWords; ++i) {
      total += static_cast<uint64_t>(__builtin_popcountll(words[i] ^ seed));
    }
#endif
  }
  return total;
}

}  // namespace

constexpr PeakLoop peak_scalar = {"scalar", Isa::kScalar, 64 * kWords, run};

}  // namespace reactnet
