#include "bench.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>

double now_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double, std::milli>(now).count();
}

std::uint64_t peak_rss_bytes() {
  std::FILE* file = std::fopen("/proc/self/status", "r");
  if (file == nullptr) {
    return 0;
  }
  unsigned long long kib = 0;
  char line[256];
  while (std::fgets(line, sizeof(line), file) != nullptr && std::sscanf(line, "VmHWM: %llu", &kib) != 1) {
  }
  std::fclose(file);
  return kib * 1024;
}

Bench measure(Model* model, const std::vector<std::uint8_t>& input) {
  constexpr double kMilliseconds = 1000;
  constexpr std::size_t kFewest = 5;
  std::vector<float> logits;
  model->run(input, &logits);
  std::vector<double> times;
  const double begin = now_ms();
  for (double last = begin; times.size() < kFewest || last - begin < kMilliseconds;) {
    model->run(input, &logits);
    const double now = now_ms();
    times.push_back(now - last);
    last = now;
  }
  std::sort(times.begin(), times.end());
  const std::size_t half = times.size() / 2;
  const double median = times.size() % 2 != 0 ? times[half] : (times[half - 1] + times[half]) / 2;
  return {median, times.front(), times.size()};
}

std::vector<std::uint8_t> noise(const reactnet_info& info) {
  std::vector<std::uint8_t> pixels(std::size_t{info.height} * info.width * info.channels);
  std::uint32_t state = 1;
  for (std::uint8_t& pixel : pixels) {
    state = state * 1664525u + 1013904223u;
    pixel = static_cast<std::uint8_t>(state >> 24);
  }
  return pixels;
}
