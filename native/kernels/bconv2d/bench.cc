// Times every kernel of bconv2d that runs here on layers of ReActNet, with the whole epilogue.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "bconv2d/bconv2d.h"

namespace {

using namespace reactnet;

struct Case {
  const char* name;
  int64_t size, channels, outputs, kernel, stride;
};

constexpr Case kCases[] = {
    {"3x3 32-32 @112", 112, 32, 32, 3, 1},     {"1x1 32-64 @112", 112, 32, 64, 1, 1},
    {"3x3 64-64 @56", 56, 64, 64, 3, 1},       {"3x3 128-128 @28", 28, 128, 128, 3, 1},
    {"3x3 256-256 @14", 14, 256, 256, 3, 1},   {"3x3 512-512 @14", 14, 512, 512, 3, 1},
    {"3x3 512-512 @7", 7, 512, 512, 3, 1},     {"3x3 1024-1024 @7", 7, 1024, 1024, 3, 1},
    {"1x1 128-128 @56", 56, 128, 128, 1, 1},   {"1x1 512-512 @14", 14, 512, 512, 1, 1},
    {"1x1 1024-1024 @7", 7, 1024, 1024, 1, 1},
};

struct AlignedDelete {
  void operator()(void* p) const { std::free(p); }
};

std::vector<uint64_t> random_words(size_t count, int64_t channels, std::mt19937_64& random) {
  const size_t words = static_cast<size_t>((channels + 63) / 64);
  std::vector<uint64_t> out(count * words);
  for (size_t i = 0; i < out.size(); ++i) {
    const bool tail = channels % 64 != 0 && i % words == words - 1;
    out[i] = random() & (tail ? (uint64_t{1} << (channels % 64)) - 1 : ~uint64_t{0});
  }
  return out;
}

std::vector<float> random_floats(int64_t count, float scale, std::mt19937_64& random) {
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& v : out) {
    v = normal(random);
  }
  return out;
}

void time_kernel(const BConv2dKernel& kernel, const Case& c, double seconds) {
  const int64_t pad = c.kernel / 2;
  const int64_t out = (c.size + 2 * pad - c.kernel) / c.stride + 1;
  const BConv2dShape shape = {
      {c.size, c.size, out, out, c.kernel, c.kernel, c.stride, c.stride, pad, pad}, c.channels, c.outputs, 1, 0};
  if (!isa_available(kernel.isa) || !kernel.supports(shape)) {
    std::printf("%-18s %-28s cannot run here\n", c.name, kernel.name);
    return;
  }
  std::mt19937_64 random(1);
  const auto in = random_words(static_cast<size_t>(c.size * c.size), c.channels, random);
  const auto weight = random_words(static_cast<size_t>(c.outputs * c.kernel * c.kernel), c.channels, random);
  const auto scale = random_floats(c.outputs, 0.01f, random);
  const auto shift = random_floats(c.outputs, 1.0f, random);
  auto real = random_floats(out * out * c.outputs, 1.0f, random);
  std::vector<uint64_t> bits(static_cast<size_t>(out * out * ((c.outputs + 63) / 64)));
  const size_t bytes = (static_cast<size_t>(kernel.packed_bytes(shape)) + 63) / 64 * 64;
  void* packed = std::aligned_alloc(64, bytes);
  const size_t scratch_bytes = static_cast<size_t>(kernel.scratch_bytes(shape));
  void* scratch = std::aligned_alloc(64, (scratch_bytes + 64) / 64 * 64);
  kernel.pack(shape, weight.data(), packed);
  const BConv2dArgs args = {shape,        in.data(), packed,      scale.data(), shift.data(), real.data(), c.outputs,
                            scale.data(), nullptr,   real.data(), shift.data(), bits.data(),  scratch};
  std::vector<double> times;
  double total = 0;
  while (total < seconds || times.size() < 5) {
    const auto start = std::chrono::steady_clock::now();
    kernel.run(args, 0, out);
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    total += times.back();
  }
  std::free(packed);
  std::free(scratch);
  std::sort(times.begin(), times.end());
  const double macs = static_cast<double>(out * out * c.outputs * c.channels * c.kernel * c.kernel);
  const double median = times[times.size() / 2];
  std::printf("%-18s %-28s %9.1f us best %9.1f us median %7.0f GMAC/s best %7.0f median\n", c.name, kernel.name,
              times[0] * 1e6, median * 1e6, macs / times[0] * 1e-9, macs / median * 1e-9);
}

}  // namespace

// bench [seconds a measurement]: nominal MACs (taps in the padding included) by the best and by the median time.
int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 0.2;
  for (const Case& c : kCases) {
    for (const BConv2dKernel* kernel : bconv2d_kernels()) {
      time_kernel(*kernel, c, seconds);
    }
  }
  return 0;
}
