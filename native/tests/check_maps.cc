// Ops on pixels and elements, and pools: every kernel, in pieces, against scalar.cc in one piece; sign and quantize
// against their law.
#include "channels/channels.h"
#include "check.h"
#include "elementwise/elementwise.h"
#include "normalize/normalize.h"
#include "pool/pool.h"
#include "quantize/quantize.h"
#include "sign/sign.h"

#include <cmath>

using namespace reactnet;

#if defined(REACTNET_TEST_SIMDE)
namespace reactnet {
extern const ElementwiseKernel elementwise_simde_avx512;
extern const PoolKernel pool_simde_avx512;
extern const QuantizeKernel quantize_simde_avx512;
extern const SignKernel sign_simde_avx512;
}  // namespace reactnet
#endif

namespace {

#if defined(REACTNET_TEST_SIMDE)
std::vector<const ElementwiseKernel*> elementwise_here() {
  return kernels_here(elementwise_kernels(), {&elementwise_simde_avx512});
}
std::vector<const PoolKernel*> pool_here() { return kernels_here(pool_kernels(), {&pool_simde_avx512}); }
std::vector<const QuantizeKernel*> quantize_here() {
  return kernels_here(quantize_kernels(), {&quantize_simde_avx512});
}
std::vector<const SignKernel*> sign_here() { return kernels_here(sign_kernels(), {&sign_simde_avx512}); }
#else
std::vector<const ElementwiseKernel*> elementwise_here() { return kernels_here(elementwise_kernels()); }
std::vector<const PoolKernel*> pool_here() { return kernels_here(pool_kernels()); }
std::vector<const QuantizeKernel*> quantize_here() { return kernels_here(quantize_kernels()); }
std::vector<const SignKernel*> sign_here() { return kernels_here(sign_kernels()); }
#endif

constexpr std::int64_t kChannels[] = {1, 3, 8, 31, 32, 64, 65, 200};

void check_sign(Tally& tally, Random& random) {
  const std::int64_t channels = random.pick(kChannels);
  const std::int64_t pixels = 1 + random.below(20);
  const std::size_t words = size_of((channels + 63) / 64);
  Guarded<float> in(size_of(pixels * channels), random.guard()), shift(size_of(channels), random.guard());
  random.fill(in);
  random.fill(shift);
  in[0] = std::nanf("");
  for (const SignKernel* kernel : sign_here()) {
    Guarded<std::uint64_t> out(size_of(pixels) * words, random.guard());
    const SignArgs args = {channels, in.data(), shift.data(), out.data()};
    in_pieces(random, pixels, [&](std::int64_t begin, std::int64_t end) { kernel->run(args, begin, end); });
    bool good = true;
    for (std::size_t i = 0; i < out.size() * 64; ++i) {
      const std::size_t c = i % (words * 64);
      const std::size_t pixel = i / (words * 64);
      const bool expected = c < size_of(channels) && in[pixel * size_of(channels) + c] + shift[c] >= 0.0f;
      good = good && (out[i / 64] >> (i % 64) & 1) == (expected ? 1u : 0u);
    }
    tally.expect(good, std::string(kernel->name) + " channels " + std::to_string(channels));
  }
}

void check_quantize(Tally& tally, Random& random) {
  const std::int64_t count = 1 + random.below(300);
  Guarded<float> in(size_of(count), random.guard()), scale(1, random.guard());
  random.fill(in);
  if (random.below(5) == 0) std::memset(in.data(), 0, in.size() * sizeof(float));
  float m = 0.0f;
  for (std::size_t i = 0; i < in.size(); ++i) m = std::fabs(in[i]) > m ? std::fabs(in[i]) : m;
  for (const QuantizeKernel* kernel : quantize_here()) {
    Guarded<std::int8_t> out(size_of(count), random.guard());
    tally.expect(kernel->max_abs(in.data(), 0, count) == m, std::string(kernel->name) + " maximum");
    const QuantizeArgs args = {in.data(), m, out.data(), scale.data()};
    in_pieces(random, count, [&](std::int64_t begin, std::int64_t end) { kernel->run(args, begin, end); });
    bool good = m == 0.0f ? scale[0] == 0.0f : scale[0] == m / 127.0f;
    for (std::size_t i = 0; i < in.size(); ++i) {
      const float inv = m == 0.0f ? 0.0f : 127.0f / m;
      const float t = in[i] * inv;
      good = good && static_cast<float>(out[i]) == std::nearbyint(t < -127.0f ? -127.0f : t > 127.0f ? 127.0f : t);
    }
    tally.expect(good, std::string(kernel->name) + " of " + std::to_string(count));
  }
}

void check_normalize(Tally& tally, Random& random) {
  const std::int64_t channels = 1 + random.below(4);
  const std::int64_t pixels = 1 + random.below(90);
  Guarded<std::uint8_t> in(size_of(pixels * channels), random.guard());
  Guarded<float> table(size_of(256 * channels), random.guard());
  random.fill_integers(in);
  random.fill(table);
  for (const NormalizeKernel* kernel : normalize_kernels()) {
    if (!isa_available(kernel->isa)) continue;
    Guarded<float> out(in.size(), random.guard());
    const NormalizeArgs args = {channels, in.data(), table.data(), out.data()};
    in_pieces(random, pixels, [&](std::int64_t begin, std::int64_t end) { kernel->run(args, begin, end); });
    bool good = true;
    for (std::size_t i = 0; i < in.size(); ++i) {
      const std::size_t c = i % size_of(channels);
      good = good && std::memcmp(&out[i], &table[in[i] * size_of(channels) + c], sizeof(float)) == 0;
    }
    tally.expect(good, kernel->name);
  }
}

void check_channels(Tally& tally, Random& random) {
  const std::int64_t count = random.pick(kChannels);
  const std::int64_t times = 1 + random.below(3);
  const std::int64_t pixels = 1 + random.below(9);
  Guarded<float> in(size_of(pixels * count), random.guard());
  random.fill(in);
  for (const ChannelsKernel* kernel : channels_kernels()) {
    if (!isa_available(kernel->isa)) continue;
    Guarded<float> out(in.size() * size_of(times), random.guard());
    const ChannelsArgs args = {in.data(), count, out.data(), count * times, count, times};
    in_pieces(random, pixels, [&](std::int64_t begin, std::int64_t end) { kernel->run(args, begin, end); });
    bool good = true;
    for (std::size_t i = 0; i < out.size(); ++i) {
      const std::size_t from = i / size_of(count * times) * size_of(count) + i % size_of(count);
      good = good && std::memcmp(&out[i], &in[from], sizeof(float)) == 0;
    }
    tally.expect(good, kernel->name);
  }
}

// Law of one element, as docs/format.md writes it; sigmoid is held to scalar.cc, which Python holds to the reference.
float lawful(const ElementwiseStage& s, float x, float second, float shift) {
  const auto clip = [](float v, float lo, float hi) {
    const float t = v < lo ? lo : v;
    return hi < t ? hi : t;
  };
  switch (s.op) {
    case ElementwiseOp::kAffine:
      x = x * second;
      return x + shift;
    case ElementwiseOp::kAdd:
      return x + second;
    case ElementwiseOp::kMul:
      return x * second;
    case ElementwiseOp::kPrelu:
      return x >= 0 ? x : second * x;
    case ElementwiseOp::kRelu:
      return x < 0 ? 0.0f : x;
    case ElementwiseOp::kClip:
      return clip(x, s.second[0], s.second[1]);
    case ElementwiseOp::kAbs:
      return std::fabs(x);
    case ElementwiseOp::kHardSigmoid:
      x = x * (1.0f / 6.0f);
      return clip(x + 0.5f, 0.0f, 1.0f);
    case ElementwiseOp::kSigmoid: {
      float y = 0;
      const ElementwiseArgs args = {1, &x, &s, 1, &y, nullptr, nullptr};
      elementwise_scalar.run(args, 0, 1);
      return y;
    }
  }
  return x;
}

// `count` random stages on channels x pixels: the sign at the end, the real result, or both.
void check_elementwise(Tally& tally, Random& random, std::int64_t count, ElementwiseOp first) {
  static const std::int64_t kWide[] = {1, 3, 8, 31, 32, 64, 65, 200, 512, 544, 600};
  const std::int64_t channels = random.pick(kWide);
  const std::int64_t pixels = 1 + random.below(40);
  Guarded<float> in(size_of(pixels * channels), random.guard()), next(size_of(channels), random.guard());
  Guarded<float> whole(in.size(), random.guard()), pixel(size_of(channels), random.guard());
  Guarded<float> scale(size_of(channels), random.guard()), shift(size_of(channels), random.guard());
  Guarded<float> bounds(2, random.guard()), expected(in.size(), random.guard());
  for (Guarded<float>* reals : {&in, &next, &whole, &pixel, &scale, &shift, &bounds}) random.fill(*reals);
  if (bounds[0] > bounds[1]) bounds[0] = bounds[1];
  ElementwiseStage stages[4] = {};
  for (std::int64_t i = 0; i < count; ++i) {
    ElementwiseStage& s = stages[i];
    s.op = i == 0 ? first : static_cast<ElementwiseOp>(random.below(kElementwiseOps));
    const bool binary = s.op == ElementwiseOp::kAdd || s.op == ElementwiseOp::kMul;
    s.second_is_pixel = binary && random.coin();
    s.second = s.op == ElementwiseOp::kClip ? bounds.data()
               : !binary                    ? scale.data()
               : s.second_is_pixel          ? pixel.data()
                                            : whole.data();
    s.shift = s.op == ElementwiseOp::kAffine ? shift.data() : nullptr;
  }
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::size_t c = i % size_of(channels);
    expected[i] = in[i];
    for (std::int64_t k = 0; k < count; ++k) {
      const ElementwiseStage& s = stages[k];
      const float second = s.second == whole.data() ? whole[i] : s.second == pixel.data() ? pixel[c] : scale[c];
      expected[i] = lawful(s, expected[i], second, shift[c]);
    }
  }
  const std::size_t words = size_of((channels + 63) / 64);
  for (const ElementwiseKernel* kernel : elementwise_here()) {
    Guarded<float> out(in.size(), random.guard());
    Guarded<std::uint64_t> bits(size_of(pixels) * words, random.guard());
    const int place = static_cast<int>(random.below(4));  // of its own, the input's, a second's, nowhere
    if (place == 1) out.copy(in);
    if (place == 2) out.copy(whole);
    for (std::int64_t k = 0; k < count; ++k) {
      if (stages[k].second == whole.data() && place == 2) stages[k].second = out.data();
    }
    const bool real = place != 3 && count > 0;
    const bool signs = !real || random.coin();
    const ElementwiseArgs args = {channels,
                                  place == 1 && real ? out.data() : in.data(),
                                  stages,
                                  count,
                                  real ? out.data() : nullptr,
                                  signs ? next.data() : nullptr,
                                  signs ? bits.data() : nullptr};
    in_pieces(random, pixels, [&](std::int64_t begin, std::int64_t end) { kernel->run(args, begin, end); });
    bool good = !real || out.same(expected);
    for (std::size_t i = 0; signs && i < bits.size() * 64; ++i) {
      const std::size_t c = i % (words * 64);
      const std::size_t from = i / (words * 64) * size_of(channels) + c;
      const bool one = c < size_of(channels) && expected[from] + next[c] >= 0.0f;
      good = good && (bits[i / 64] >> (i % 64) & 1) == (one ? 1u : 0u);
    }
    tally.expect(good, std::string(kernel->name) + " op " + std::to_string(static_cast<int>(first)) + ", " +
                           std::to_string(count) + " stages, channels " + std::to_string(channels));
    for (std::int64_t k = 0; k < count; ++k) {
      if (stages[k].second == out.data()) stages[k].second = whole.data();
    }
  }
}

// Pools against sums and maxima of one channel, a tap at a time.
float pooled(const PoolArgs& a, int op, std::int64_t oh, std::int64_t ow, std::int64_t c) {
  const Window& w = a.window;
  const bool bins = op == static_cast<int>(PoolOp::kAdaptiveAvg);
  float result = 0.0f;
  std::int64_t count = 0;
  for (std::int64_t h = 0; h < w.height; ++h) {
    for (std::int64_t x = 0; x < w.width; ++x) {
      const std::int64_t kh = h - oh * w.stride_h + w.padding_h;
      const std::int64_t kw = x - ow * w.stride_w + w.padding_w;
      const bool in_window = kh >= 0 && kh < w.kernel_h && kw >= 0 && kw < w.kernel_w;
      const bool in_bin = h >= oh * w.height / w.out_height && h * w.out_height < (oh + 1) * w.height &&
                          x >= ow * w.width / w.out_width && x * w.out_width < (ow + 1) * w.width;
      if (!(bins ? in_bin : in_window)) continue;
      const float v = a.in[(h * w.width + x) * a.channels + c];
      const bool first = count++ == 0;
      result = op != static_cast<int>(PoolOp::kMax) ? result + v : first || v > result ? v : result;
    }
  }
  return op == static_cast<int>(PoolOp::kMax) ? result : result / static_cast<float>(count);
}

void check_pool(Tally& tally, int op, Random& random) {
  Window w = {};
  w.height = 1 + random.below(12);
  w.width = 1 + random.below(12);
  w.kernel_h = 1 + random.below(w.height < 4 ? w.height : 4);
  w.kernel_w = 1 + random.below(w.width < 4 ? w.width : 4);
  w.padding_h = random.below(w.kernel_h / 2 + 1);
  w.padding_w = random.below(w.kernel_w / 2 + 1);
  w.stride_h = 1 + random.below(3);
  w.stride_w = 1 + random.below(3);
  w.out_height = (w.height + 2 * w.padding_h - w.kernel_h) / w.stride_h + 1;
  w.out_width = (w.width + 2 * w.padding_w - w.kernel_w) / w.stride_w + 1;
  if (op == static_cast<int>(PoolOp::kAdaptiveAvg)) {
    w = {w.height, w.width, 1 + random.below(14), 1 + random.below(3), 0, 0, 0, 0, 0, 0};
  }
  const std::int64_t channels = random.pick(kChannels);
  Guarded<float> in(size_of(w.height * w.width * channels), random.guard());
  random.fill(in);
  for (const PoolKernel* kernel : pool_here()) {
    Guarded<float> out(size_of(w.out_height * w.out_width * channels), random.guard());
    const PoolArgs args = {w, channels, in.data(), out.data()};
    in_pieces(random, w.out_height, [&](std::int64_t begin, std::int64_t end) { kernel->run[op](args, begin, end); });
    bool good = true;
    for (std::size_t i = 0; i < out.size(); ++i) {
      const std::int64_t pixel = static_cast<std::int64_t>(i) / channels;
      const float expected =
          pooled(args, op, pixel / w.out_width, pixel % w.out_width, static_cast<std::int64_t>(i) % channels);
      good = good && std::memcmp(&out[i], &expected, sizeof(float)) == 0;
    }
    tally.expect(good, std::string(kernel->name) + " op " + std::to_string(op));
  }
}

}  // namespace

void check_maps(Tally& tally) {
  Random random(4);
  for (int i = 0; i < 60; ++i) {
    check_sign(tally, random);
    check_quantize(tally, random);
    check_normalize(tally, random);
    check_channels(tally, random);
    check_elementwise(tally, random, 0, ElementwiseOp::kAdd);
    for (int op = 0; op < kElementwiseOps; ++op) {
      check_elementwise(tally, random, 1 + random.below(4), static_cast<ElementwiseOp>(op));
    }
    for (int op = 0; op < kPoolOps; ++op) check_pool(tally, op, random);
  }
}
