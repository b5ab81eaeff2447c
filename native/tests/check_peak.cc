// The loops of the popcount peak count what they say, or their rates mean nothing.
#include "check.h"
#include "peak.h"
#include "peak/peak.h"

using namespace reactnet;

namespace {

// A round's words are seed * 1, 3, 5 ..., `words` of them, against seed in every lane; or, if that is 0, ones only.
void check_loop(Tally& tally, const PeakLoop& loop, std::uint64_t words) {
  if (!isa_available(loop.isa)) return;
  const std::uint64_t seed = 0x9E3779B97F4A7C15U;
  std::uint64_t expected = static_cast<std::uint64_t>(loop.products);
  if (words != 0) {
    expected = 0;
    for (std::uint64_t i = 0; i < words; ++i) {
      for (std::uint64_t v = seed ^ seed * (2 * i + 1); v != 0; v &= v - 1) ++expected;
    }
    expected *= static_cast<std::uint64_t>(loop.products) / 64 / words;
  }
  for (const std::int64_t rounds : {1, 2, 7, 100}) {
    const bool good = loop.run(rounds, seed) == expected * static_cast<std::uint64_t>(rounds);
    tally.expect(good, std::string("peak loop ") + loop.name);
  }
}

}  // namespace

void check_peak(Tally& tally) {
  check_loop(tally, peak_scalar, 16);
#if defined(__x86_64__)
  check_loop(tally, peak_x86_avx2_popcnt, 0);
  check_loop(tally, peak_x86_avx2_shuffle, 0);
  check_loop(tally, peak_x86_avx2_harley_seal, 0);
  check_loop(tally, peak_x86_avx512vpopcntdq, 12);
#elif defined(__aarch64__)
  check_loop(tally, peak_arm64_neon, 8);
#endif
  tally.expect(popcount_peak_gmacs(0.001) > 0, "popcount_peak_gmacs");
}
