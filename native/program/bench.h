// How long one image takes, and how much memory the process.
#ifndef REACTNET_PROGRAM_BENCH_H_
#define REACTNET_PROGRAM_BENCH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "model.h"

struct Bench {
  double ms_median;
  double ms_min;
  std::size_t runs;
};

double now_ms();

// Peak resident memory of this process. Not ru_maxrss: that one outlives exec, so a large parent would show through. 0: the system does
// not say.
std::uint64_t peak_rss_bytes();

// Runs for a second, at least five times, after one run to warm up.
Bench measure(Model* model, const std::vector<std::uint8_t>& input);

// Pixels that nobody took, the same each time.
std::vector<std::uint8_t> noise(const reactnet_info& info);

#endif  // REACTNET_PROGRAM_BENCH_H_
