// Times every kernel of every list but bconv2d's, which has a bench of its own, on one size of a ReActNet or a ResNet.
//   bench_kernels [seconds a measurement]
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "channels/channels.h"
#include "conv_f32/conv_f32.h"
#include "conv_i8/conv_i8.h"
#include "conv_u8/conv_u8.h"
#include "elementwise/elementwise.h"
#include "linear_f32/linear_f32.h"
#include "linear_i8/linear_i8.h"
#include "normalize/normalize.h"
#include "pool/pool.h"
#include "quantize/quantize.h"
#include "sign/sign.h"

namespace {

using namespace reactnet;

double seconds_each = 0.1;
std::mt19937 engine(1);

template <class T>
std::vector<T> random_integers(std::int64_t count) {
  std::vector<T> out(static_cast<std::size_t>(count));
  for (T& v : out) v = static_cast<T>(engine());
  return out;
}

std::vector<float> random_reals(std::int64_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> out(static_cast<std::size_t>(count));
  for (float& v : out) v = normal(engine);
  return out;
}

// Repeats `run` and prints the best and the median time; with `macs`, the rate of the best.
template <class K, class F>
void time_kernel(const K& kernel, const std::string& what, F run, std::int64_t macs = 0) {
  if (!isa_available(kernel.isa)) {
    std::printf("%-22s %-26s cannot run here\n", kernel.name, what.c_str());
    return;
  }
  std::vector<double> times;
  for (double total = 0; total < seconds_each || times.size() < 5; total += times.back()) {
    const auto start = std::chrono::steady_clock::now();
    run();
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  std::printf("%-22s %-26s %10.1f us best %10.1f us median", kernel.name, what.c_str(), times[0] * 1e6,
              times[times.size() / 2] * 1e6);
  if (macs != 0) std::printf(" %7.1f GMAC/s", static_cast<double>(macs) / times[0] * 1e-9);
  std::printf("\n");
}

// A kernel's weights in its own layout, aligned as kernels ask.
struct Packed {
  void* data;
  explicit Packed(std::uint64_t bytes)
      : data(std::aligned_alloc(64, static_cast<std::size_t>((bytes + 63) / 64 * 64))) {}
  ~Packed() { std::free(data); }
  Packed(const Packed&) = delete;
  Packed& operator=(const Packed&) = delete;
};

constexpr Window kHalving = {56, 56, 28, 28, 2, 2, 2, 2, 0, 0};

// A square convolution; `padding` is half the kernel.
struct Conv {
  const char* what;
  std::int64_t size, kernel, stride, channels, outputs;

  std::int64_t out_size() const { return (size + stride - 1) / stride; }
  Window window() const {
    return {size, size, out_size(), out_size(), kernel, kernel, stride, stride, kernel / 2, kernel / 2};
  }
  std::int64_t weights() const { return outputs * kernel * kernel * channels; }
  std::int64_t macs() const { return out_size() * out_size() * weights(); }
};

void bench_f32(const Conv& c) {
  const auto image = random_reals(c.size * c.size * c.channels);
  const auto weight = random_reals(c.weights());
  const auto bias = random_reals(c.outputs);
  std::vector<float> out(static_cast<std::size_t>(c.out_size() * c.out_size() * c.outputs));
  for (const ConvF32Kernel* k : conv_f32_kernels()) {
    const ConvF32Shape shape = {c.window(), c.channels, c.outputs, 1};
    if (!k->supports(shape)) continue;
    Packed packed(k->packed_bytes(shape));
    k->pack(shape, weight.data(), packed.data);
    const ConvF32Args args = {shape, image.data(), packed.data, bias.data(), out.data()};
    time_kernel(
        *k, c.what, [&] { k->run(args, 0, c.out_size()); }, c.macs());
  }
}

template <class Weight>
void bench_u8(const Conv& c) {
  const auto pixels = random_integers<std::uint8_t>(c.size * c.size * c.channels);
  const auto weight = random_integers<Weight>(c.weights());
  const auto small = random_integers<std::int16_t>(c.outputs * c.kernel * c.kernel);
  const std::vector<std::int32_t> offset(small.begin(), small.end());
  const auto reals = random_reals(c.outputs);
  std::vector<float> out(static_cast<std::size_t>(c.out_size() * c.out_size() * c.outputs));
  for (const ConvU8Kernel* k : conv_u8_kernels()) {
    const ConvU8Shape shape = {c.window(), c.channels, c.outputs, 8 * static_cast<std::int64_t>(sizeof(Weight))};
    if (!k->supports(shape)) continue;
    Packed packed(k->packed_bytes(shape));
    k->pack(shape, weight.data(), offset.data(), packed.data);
    const ConvU8Args args = {shape, pixels.data(), packed.data, reals.data(), reals.data(), out.data()};
    time_kernel(
        *k, c.what + std::string(sizeof(Weight) == 1 ? ", w8" : ", w16"), [&] { k->run(args, 0, c.out_size()); },
        c.macs());
  }
}

void bench_i8(const Conv& c) {
  const auto quantized = random_integers<std::int8_t>(c.size * c.size * c.channels);
  const auto weight = random_integers<std::int8_t>(c.weights());
  const auto reals = random_reals(c.outputs);
  std::vector<float> out(static_cast<std::size_t>(c.out_size() * c.out_size() * c.outputs));
  for (const ConvI8Kernel* k : conv_i8_kernels()) {
    const ConvI8Shape shape = {c.window(), c.channels, c.outputs, 1};
    if (!k->supports(shape)) continue;
    Packed packed(k->packed_bytes(shape));
    k->pack(shape, weight.data(), packed.data);
    const ConvI8Args args = {shape,        quantized.data(), reals.data(), packed.data,
                             reals.data(), reals.data(),     out.data()};
    time_kernel(
        *k, c.what, [&] { k->run(args, 0, c.out_size()); }, c.macs());
  }
}

void bench_convolutions() {
  static constexpr Conv kStems[] = {{"3x3 s2 3-32 @112", 224, 3, 2, 3, 32}, {"7x7 s2 3-64 @112", 224, 7, 2, 3, 64}};
  for (const Conv& c : kStems) {
    bench_f32(c);
    bench_u8<std::int8_t>(c);
    bench_u8<std::int16_t>(c);
  }
  static constexpr Conv kInner[] = {{"1x1 64-128 @28", 28, 1, 1, 64, 128},
                                    {"1x1 128-256 @14", 14, 1, 1, 128, 256},
                                    {"1x1 256-512 @7", 7, 1, 1, 256, 512},
                                    {"3x3 64-64 @56", 56, 3, 1, 64, 64},
                                    {"3x3 512-512 @7", 7, 3, 1, 512, 512}};
  for (const Conv& c : kInner) {
    bench_f32(c);
    bench_i8(c);
  }
}

void bench_linear() {
  const auto in = random_reals(1024);
  const auto quantized = random_integers<std::int8_t>(1024);
  const auto weight = random_reals(1024 * 1000);
  const auto small = random_integers<std::int8_t>(1024 * 1000);
  const auto reals = random_reals(1000);
  std::vector<float> out(1000);
  for (const LinearF32Kernel* k : linear_f32_kernels()) {
    const LinearF32Shape shape = {1024, 1000};
    Packed packed(k->packed_bytes(shape));
    k->pack(shape, weight.data(), packed.data);
    const LinearF32Args args = {shape, in.data(), packed.data, reals.data(), out.data()};
    time_kernel(
        *k, "1024-1000", [&] { k->run(args, 0, (1000 + kLinearF32Block - 1) / kLinearF32Block); }, 1024 * 1000);
  }
  for (const LinearI8Kernel* k : linear_i8_kernels()) {
    const LinearI8Shape shape = {1024, 1000};
    Packed packed(k->packed_bytes(shape));
    k->pack(shape, small.data(), packed.data);
    const LinearI8Args args = {shape,        quantized.data(), reals.data(), packed.data,
                               reals.data(), reals.data(),     out.data()};
    time_kernel(
        *k, "1024-1000", [&] { k->run(args, 0, (1000 + kLinearI8Block - 1) / kLinearI8Block); }, 1024 * 1000);
  }
}

void bench_maps() {
  constexpr std::int64_t kPixels = 56 * 56;
  constexpr std::int64_t kChannels = 128;
  const auto in = random_reals(kPixels * kChannels);
  const auto second = random_reals(kPixels * kChannels);
  const auto pixels = random_integers<std::uint8_t>(kPixels * 3);
  const auto table = random_reals(256 * 3);
  const std::vector<float> bounds = {-1.0F, 1.0F};
  std::vector<float> out(static_cast<std::size_t>(kPixels * kChannels * 2));
  std::vector<std::int8_t> quantized(static_cast<std::size_t>(kPixels * kChannels));
  std::vector<std::uint64_t> bits(static_cast<std::size_t>(kPixels * 2));
  for (const NormalizeKernel* k : normalize_kernels()) {
    const NormalizeArgs args = {3, pixels.data(), table.data(), out.data()};
    time_kernel(*k, "56x56x3", [&] { k->run(args, 0, kPixels); });
  }
  for (const SignKernel* k : sign_kernels()) {
    const SignArgs args = {kChannels, in.data(), second.data(), bits.data()};
    time_kernel(*k, "56x56x128", [&] { k->run(args, 0, kPixels); });
  }
  for (const QuantizeKernel* k : quantize_kernels()) {
    time_kernel(*k, "56x56x128", [&] {
      const float max = k->max_abs(in.data(), 0, kPixels * kChannels);
      k->run({in.data(), max, quantized.data(), out.data()}, 0, kPixels * kChannels);
    });
  }
  for (const ChannelsKernel* k : channels_kernels()) {
    const ChannelsArgs args = {in.data(), kChannels, out.data(), 2 * kChannels, kChannels, 2};
    time_kernel(*k, "56x56x128, twice", [&] { k->run(args, 0, kPixels); });
  }
  for (const ElementwiseKernel* k : elementwise_kernels()) {
    for (int op = 0; op < kElementwiseOps; ++op) {
      const bool clips = op == static_cast<int>(ElementwiseOp::kClip);
      const ElementwiseStage stage = {static_cast<ElementwiseOp>(op), clips ? bounds.data() : second.data(), false,
                                      second.data()};
      const ElementwiseArgs args = {kChannels, in.data(), &stage, 1, out.data(), nullptr, nullptr};
      time_kernel(*k, "56x56x128, op " + std::to_string(op), [&] { k->run(args, 0, kPixels); });
    }
    const ElementwiseStage chain[] = {{ElementwiseOp::kRelu, nullptr, false, nullptr},
                                      {ElementwiseOp::kAffine, second.data(), false, second.data()},
                                      {ElementwiseOp::kAdd, second.data(), false, nullptr}};
    const ElementwiseArgs args = {kChannels, in.data(), chain, 3, out.data(), second.data(), bits.data()};
    time_kernel(*k, "56x56x128, relu to sign", [&] { k->run(args, 0, kPixels); });
  }
  for (const PoolKernel* k : pool_kernels()) {
    for (int op = 0; op < kPoolOps; ++op) {
      const PoolArgs args = {kHalving, kChannels, in.data(), out.data()};
      time_kernel(*k, "2x2 56x56x128, op " + std::to_string(op), [&] { k->run[op](args, 0, 28); });
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) seconds_each = std::atof(argv[1]);
  bench_convolutions();
  bench_linear();
  bench_maps();
  return 0;
}
