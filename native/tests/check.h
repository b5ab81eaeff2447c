// What the parts of the kernel check share: counts, random numbers, work in pieces.
#ifndef REACTNET_TESTS_CHECK_H_
#define REACTNET_TESTS_CHECK_H_

#include <cstdint>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "guarded.h"
#include "isa.h"
#include "kernel_list.h"

struct Tally {
  int passed = 0;
  int failed = 0;
  int skipped = 0;

  void expect(bool good, const std::string& what) {
    ++(good ? passed : failed);
    if (!good) {
      std::printf("FAILED %s\n", what.c_str());
    }
  }
  void skip(const std::string& what) {
    ++skipped;
    std::printf("SKIPPED %s\n", what.c_str());
  }
};

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  std::uint64_t word() { return engine_(); }
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(n)); }
  bool coin() { return below(2) == 1; }
  template <class T, std::size_t N>
  T pick(const T (&items)[N]) {
    return items[below(static_cast<std::int64_t>(N))];
  }
  // Zeros of both signs, subnormals, ties, and ordinary numbers: everything finite that arithmetic may stumble over.
  float real() {
    static const float kOdd[] = {0.0f, -0.0f, 1.0f, -1.0f, 0.5f, -2.5f, 1e-40f, -1e-40f, 1e-38f, 3e4f, -87.5f, 126.5f};
    if (below(8) == 0) {
      return pick(kOdd);
    }
    return static_cast<float>(below(2000001) - 1000000) * 1.0e-5f;
  }
  Guard guard() { return coin() ? Guard::kAfter : Guard::kBefore; }

  void fill(Guarded<float>& out) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = real();
  }
  template <class T>
  void fill_integers(Guarded<T>& out) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<T>(word());
  }

 private:
  std::mt19937_64 engine_;
};

// What `quantize` may give: -128 is not among it, and kernels may rely on that.
inline void fill_quantized(Random& random, Guarded<std::int8_t>& out) {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::int8_t>(random.below(255) - 127);
}

// Calls `run` on pieces that cover 0 to count - 1, not in order, as threads would.
inline void in_pieces(Random& random, std::int64_t count, const std::function<void(std::int64_t, std::int64_t)>& run) {
  const std::int64_t first = count <= 1 ? 0 : random.below(count + 1);
  const std::int64_t second = first + random.below(count - first + 1);
  if (second < count) run(second, count);
  if (first > 0) run(0, first);
  if (first < second) run(first, second);
}

inline std::size_t size_of(std::int64_t n) { return static_cast<std::size_t>(n); }

// The kernels that this machine can run, and those that it emulates: see simde_shims.h.
template <class K>
std::vector<const K*> kernels_here(const reactnet::KernelList<K>& list, std::vector<const K*> emulated = {}) {
  for (const K* kernel : list) {
    if (reactnet::isa_available(kernel->isa)) emulated.push_back(kernel);
  }
  return emulated;
}

void check_bconv2d(Tally& tally);
void check_convolutions(Tally& tally);
void check_linear(Tally& tally);
void check_maps(Tally& tally);  // ops that work on pixels or elements, and pools
void check_peak(Tally& tally);
void check_sha256(Tally& tally);

#endif  // REACTNET_TESTS_CHECK_H_
