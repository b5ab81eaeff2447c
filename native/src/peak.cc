#include "peak.h"

#include <chrono>
#include <cstdint>

#include "peak/peak.h"

namespace reactnet {
namespace {

constexpr const PeakLoop* kLoops[] = {
    &peak_scalar,
#if defined(__x86_64__)
    &peak_x86_avx2_popcnt, &peak_x86_avx2_shuffle, &peak_x86_avx2_harley_seal, &peak_x86_avx512vpopcntdq,
#elif defined(__aarch64__)
    &peak_arm64_neon,
#endif
};
constexpr std::int64_t kProducts = std::int64_t{1} << 26;  // of one timed run: 50 us to 3 ms

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// 10^9 products a second of one short run.
double rate(const PeakLoop& loop, volatile std::uint64_t* sink) {
  const std::int64_t rounds = kProducts / loop.products;
  const double start = now();
  *sink = loop.run(rounds, 0x9E3779B97F4A7C15U + *sink);
  return static_cast<double>(rounds * loop.products) / (now() - start) * 1e-9;
}

}  // namespace

double popcount_peak_gmacs(double seconds) {
  volatile std::uint64_t sink = 0;
  double best = 0;
  const double start = now();
  do {
    for (const PeakLoop* loop : kLoops) {
      const double found = isa_available(loop->isa) ? rate(*loop, &sink) : 0;
      best = found > best ? found : best;
    }
  } while (now() - start < seconds);
  return best;
}

}  // namespace reactnet
