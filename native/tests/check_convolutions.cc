// conv_f32, conv_u8, conv_i8: every kernel against sums written out a tap at a time.
#include <limits>

#include "check.h"
#include "conv_f32/conv_f32.h"
#include "conv_i8/conv_i8.h"
#include "conv_u8/conv_u8.h"

using namespace reactnet;

#if defined(REACTNET_TEST_SIMDE)
namespace reactnet {
extern const ConvF32Kernel conv_f32_simde_avx512;
extern const ConvF32Kernel conv_f32_simde_avx512_depthwise;
extern const ConvU8Kernel conv_u8_simde_avx512vnni;
extern const ConvI8Kernel conv_i8_simde_avx512vnni;
}  // namespace reactnet
#endif

namespace {

#if defined(REACTNET_TEST_SIMDE)
std::vector<const ConvF32Kernel*> conv_f32_here() {
  return kernels_here(conv_f32_kernels(), {&conv_f32_simde_avx512, &conv_f32_simde_avx512_depthwise});
}
std::vector<const ConvU8Kernel*> conv_u8_here() { return kernels_here(conv_u8_kernels(), {&conv_u8_simde_avx512vnni}); }
std::vector<const ConvI8Kernel*> conv_i8_here() { return kernels_here(conv_i8_kernels(), {&conv_i8_simde_avx512vnni}); }
#else
std::vector<const ConvF32Kernel*> conv_f32_here() { return kernels_here(conv_f32_kernels()); }
std::vector<const ConvU8Kernel*> conv_u8_here() { return kernels_here(conv_u8_kernels()); }
std::vector<const ConvI8Kernel*> conv_i8_here() { return kernels_here(conv_i8_kernels()); }
#endif

struct Shape {
  Window window;
  std::int64_t channels, outputs, groups;
};

Shape random_shape(Random& random, bool grouped, std::int64_t most_channels) {
  static const std::int64_t kSides[] = {1, 2, 5, 7, 9, 14};
  static const std::int64_t kKernels[] = {1, 2, 3, 5, 7};
  static const std::int64_t kOutputs[] = {1, 7, 8, 9, 16, 17, 24, 33, 65};
  Shape s = {};
  Window& w = s.window;
  do {
    w.height = random.pick(kSides);
    w.width = random.pick(kSides);
    w.kernel_h = random.pick(kKernels);
    w.kernel_w = random.pick(kKernels);
    w.padding_h = random.below(w.kernel_h);
    w.padding_w = random.below(w.kernel_w);
  } while (w.height + 2 * w.padding_h < w.kernel_h || w.width + 2 * w.padding_w < w.kernel_w);
  w.stride_h = 1 + random.below(3);
  w.stride_w = 1 + random.below(2);
  w.out_height = (w.height + 2 * w.padding_h - w.kernel_h) / w.stride_h + 1;
  w.out_width = (w.width + 2 * w.padding_w - w.kernel_w) / w.stride_w + 1;
  s.groups = grouped ? 1 + random.below(9) : 1;
  const bool depthwise = s.groups > 1 && random.coin();
  s.channels = depthwise ? s.groups : s.groups * (1 + random.below(most_channels));
  s.outputs = s.groups == 1 ? random.pick(kOutputs) : s.groups * (depthwise ? 1 : 1 + random.below(20));
  return s;
}

std::string describe(const char* kernel, const Shape& s) {
  const Window& w = s.window;
  std::string text = kernel;
  for (const std::int64_t n : {w.height, w.width, s.channels, s.outputs, s.groups, w.kernel_h, w.kernel_w, w.stride_h,
                               w.stride_w, w.padding_h, w.padding_w}) {
    text += " " + std::to_string(n);
  }
  return text + " (h w c o g kh kw sh sw ph pw)";
}

std::size_t in_size(const Shape& s) { return size_of(s.window.height * s.window.width * s.channels); }
std::size_t out_size(const Shape& s) { return size_of(s.window.out_height * s.window.out_width * s.outputs); }
std::size_t weight_size(const Shape& s) {
  return size_of(s.outputs * s.window.kernel_h * s.window.kernel_w * (s.channels / s.groups));
}

// Visits the products of output i in the order of the law: tap(weight index of its channel 0, input index of its
// channel 0).
template <class F>
void each_tap(const Shape& s, std::int64_t i, F tap) {
  const Window& w = s.window;
  const std::int64_t o = i % s.outputs;
  const std::int64_t ow = i / s.outputs % w.out_width;
  const std::int64_t oh = i / s.outputs / w.out_width;
  const std::int64_t group = s.channels / s.groups;
  for (std::int64_t kh = 0; kh < w.kernel_h; ++kh) {
    for (std::int64_t kw = 0; kw < w.kernel_w; ++kw) {
      const std::int64_t ih = oh * w.stride_h + kh - w.padding_h;
      const std::int64_t iw = ow * w.stride_w + kw - w.padding_w;
      if (ih < 0 || ih >= w.height || iw < 0 || iw >= w.width) continue;
      tap(((o * w.kernel_h + kh) * w.kernel_w + kw) * group,
          (ih * w.width + iw) * s.channels + o / (s.outputs / s.groups) * group);
    }
  }
}

// What conv_f32 is to make: the sums in the order of the law.
void sum_reals(const Shape& s, const Guarded<float>& in, const Guarded<float>& weight, const float* bias,
               Guarded<float>& out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    float acc = 0.0f;
    each_tap(s, static_cast<std::int64_t>(i), [&](std::int64_t w, std::int64_t x) {
      for (std::int64_t c = 0; c < s.channels / s.groups; ++c) acc += in[size_of(x + c)] * weight[size_of(w + c)];
    });
    out[i] = bias != nullptr ? acc + bias[i % size_of(s.outputs)] : acc;
  }
}

void check_f32(Tally& tally, Random& random) {
  const Shape s = random_shape(random, random.coin(), 20);
  Guarded<float> in(in_size(s), random.guard()), weight(weight_size(s), random.guard());
  Guarded<float> biases(size_of(s.outputs), random.guard());
  for (Guarded<float>* reals : {&in, &weight, &biases}) random.fill(*reals);
  const float* bias = random.coin() ? biases.data() : nullptr;
  Guarded<float> expected(out_size(s), random.guard());
  sum_reals(s, in, weight, bias, expected);
  const ConvF32Shape shape = {s.window, s.channels, s.outputs, s.groups};
  for (const ConvF32Kernel* kernel : conv_f32_here()) {
    if (!kernel->supports(shape)) continue;
    Guarded<unsigned char> packed(size_of(static_cast<std::int64_t>(kernel->packed_bytes(shape))), Guard::kAfter, 64);
    kernel->pack(shape, weight.data(), packed.data());
    Guarded<float> out(out_size(s), random.guard());
    const ConvF32Args args = {shape, in.data(), packed.data(), bias, out.data()};
    in_pieces(random, s.window.out_height,
              [&](std::int64_t begin, std::int64_t end) { kernel->run(args, begin, end); });
    tally.expect(out.same(expected), describe(kernel->name, s));
  }
}

// Colours of a table that kernels look up, in rows of one tile and of several.
void check_pixels(Tally& tally, Random& random) {
  Shape s = random_shape(random, false, 1);
  s.channels = 3;
  s.window.width += random.below(60);
  s.window.out_width = (s.window.width + 2 * s.window.padding_w - s.window.kernel_w) / s.window.stride_w + 1;
  Guarded<std::uint8_t> pixels(in_size(s), random.guard());
  Guarded<float> table(256 * 3, random.guard()), weight(weight_size(s), random.guard());
  Guarded<float> biases(size_of(s.outputs), random.guard()), in(pixels.size(), Guard::kAfter);
  for (Guarded<float>* reals : {&table, &weight, &biases}) random.fill(*reals);
  random.fill_integers(pixels);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = table[pixels[i] * std::size_t{3} + i % 3];
  const float* bias = random.coin() ? biases.data() : nullptr;
  Guarded<float> expected(out_size(s), random.guard());
  sum_reals(s, in, weight, bias, expected);
  const ConvF32Shape shape = {s.window, s.channels, s.outputs, s.groups};
  for (const ConvF32Kernel* kernel : conv_f32_here()) {
    if (!kernel->supports(shape) || kernel->looks_up == nullptr || !kernel->looks_up(shape)) continue;
    Guarded<unsigned char> packed(size_of(static_cast<std::int64_t>(kernel->packed_bytes(shape))), Guard::kAfter, 64);
    kernel->pack(shape, weight.data(), packed.data());
    Guarded<float> out(out_size(s), random.guard());
    const ConvF32Args args = {shape, nullptr, packed.data(), bias, out.data(), pixels.data(), table.data()};
    in_pieces(random, s.window.out_height,
              [&](std::int64_t begin, std::int64_t end) { kernel->run(args, begin, end); });
    tally.expect(out.same(expected), describe(kernel->name, s) + " of pixels");
  }
}

// All numbers at one end of their range: the largest sums.
template <class X, class Weight>
void fill_extremes(Random& random, Guarded<X>& in, Guarded<Weight>& weight) {
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = std::numeric_limits<X>::max();
  const bool negative = random.coin();
  for (std::size_t i = 0; i < weight.size(); ++i) {
    weight[i] = negative ? std::numeric_limits<Weight>::min() : std::numeric_limits<Weight>::max();
  }
}

// Seven rows with a stride of two, which have a kernel of their own; or wide rows, which are cut.
Shape random_stem(Random& random) {
  Shape s = random_shape(random, false, 4);
  Window& w = s.window;
  w.kernel_h = 7;
  w.stride_h = 2;
  w.padding_h = random.below(7);
  w.height = 7 + random.below(20);
  if (random.below(4) == 0) {
    w.width = 200 + random.below(400);
    w.height = 7;
    s.outputs = 1 + random.below(17);
  }
  w.out_height = (w.height + 2 * w.padding_h - w.kernel_h) / w.stride_h + 1;
  w.out_width = (w.width + 2 * w.padding_w - w.kernel_w) / w.stride_w + 1;
  return s;
}

// A map of even sides whose rows are whole tiles: kernels may pool it.
Shape random_pooled_stem(Random& random) {
  static const std::int64_t kColumns[] = {8, 14, 16, 28, 56};
  Shape s = random_shape(random, false, 4);
  Window& w = s.window;
  w.out_width = random.pick(kColumns);
  w.out_height = 2 + 2 * random.below(6);
  w.width = (w.out_width - 1) * w.stride_w + w.kernel_w;
  w.height = (w.out_height - 1) * w.stride_h + w.kernel_h;
  w.padding_w = w.width > 2 * w.padding_w ? w.padding_w : 0;
  w.padding_h = w.height > 2 * w.padding_h ? w.padding_h : 0;
  w.width -= 2 * w.padding_w;
  w.height -= 2 * w.padding_h;
  return s;
}

// The maxima that a kernel may leave of a map, by the law of max_pool.
void pool_map(const Shape& s, const Guarded<float>& map, Guarded<float>& out) {
  const Window& w = s.window;
  for (std::int64_t i = 0; i < w.out_height / 2 * (w.out_width / 2) * s.outputs; ++i) {
    const std::int64_t row = i / s.outputs / (w.out_width / 2) * 2;
    const std::int64_t column = i / s.outputs % (w.out_width / 2) * 2;
    bool first = true;
    float m = 0.0f;
    for (std::int64_t y = row > 0 ? row - 1 : 0; y <= row + 1; ++y) {
      for (std::int64_t x = column > 0 ? column - 1 : 0; x <= column + 1; ++x) {
        const float at = map[size_of((y * w.out_width + x) * s.outputs + i % s.outputs)];
        m = first || at > m ? at : m;
        first = false;
      }
    }
    out[size_of(i)] = m;
  }
}

void check_pooled(Tally& tally, Random& random, const Shape& s, const ConvU8Kernel& kernel, ConvU8Args args,
                  const Guarded<float>& map) {
  if (kernel.pools == nullptr || !kernel.pools(args.shape, args.bias)) return;
  Guarded<float> expected(map.size() / 4, random.guard()), out(map.size() / 4, random.guard());
  pool_map(s, map, expected);
  args.out = nullptr;
  args.out_pooled = out.data();
  in_pieces(random, s.window.out_height / 2,
            [&](std::int64_t begin, std::int64_t end) { kernel.run(args, begin, end); });
  tally.expect(out.same(expected), describe(kernel.name, s) + " pooled");
}

template <class Weight>
void check_u8(Tally& tally, Random& random, const Shape& s) {
  const std::size_t taps = size_of(s.window.kernel_h * s.window.kernel_w);
  Guarded<std::uint8_t> in(in_size(s), random.guard());
  Guarded<Weight> weight(weight_size(s), random.guard());
  Guarded<std::int32_t> offset(size_of(s.outputs) * taps, random.guard());
  Guarded<float> scale(size_of(s.outputs), random.guard()), bias(size_of(s.outputs), random.guard());
  Guarded<float> expected(out_size(s), random.guard());
  random.fill_integers(in);
  random.fill_integers(weight);
  if (random.below(8) == 0) fill_extremes(random, in, weight);
  for (std::size_t i = 0; i < offset.size(); ++i) offset[i] = static_cast<std::int32_t>(random.below(200001) - 100000);
  for (Guarded<float>* reals : {&scale, &bias}) random.fill(*reals);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    std::int32_t acc = 0;
    each_tap(s, static_cast<std::int64_t>(i), [&](std::int64_t w, std::int64_t x) {
      for (std::int64_t c = 0; c < s.channels; ++c) acc += in[size_of(x + c)] * weight[size_of(w + c)];
      acc -= offset[size_of(w / s.channels)];
    });
    const float y = static_cast<float>(acc) * scale[i % size_of(s.outputs)];
    expected[i] = y + bias[i % size_of(s.outputs)];
  }
  const ConvU8Shape shape = {s.window, s.channels, s.outputs, static_cast<std::int64_t>(8 * sizeof(Weight))};
  for (const ConvU8Kernel* kernel : conv_u8_here()) {
    if (!kernel->supports(shape)) continue;
    Guarded<unsigned char> packed(size_of(static_cast<std::int64_t>(kernel->packed_bytes(shape))), Guard::kAfter, 64);
    kernel->pack(shape, weight.data(), offset.data(), packed.data());
    Guarded<float> out(out_size(s), random.guard());
    const ConvU8Args args = {shape, in.data(), packed.data(), scale.data(), bias.data(), out.data()};
    in_pieces(random, s.window.out_height,
              [&](std::int64_t begin, std::int64_t end) { kernel->run(args, begin, end); });
    tally.expect(out.same(expected), describe(kernel->name, s));
    check_pooled(tally, random, s, *kernel, args, expected);
  }
}

void check_i8(Tally& tally, Random& random) {
  const Shape s = random_shape(random, random.coin(), 20);
  Guarded<std::int8_t> in(in_size(s), random.guard()), weight(weight_size(s), random.guard());
  Guarded<float> scale(size_of(s.outputs), random.guard()), bias(size_of(s.outputs), random.guard());
  Guarded<float> in_scale(1, random.guard()), expected(out_size(s), random.guard());
  fill_quantized(random, in);
  random.fill_integers(weight);
  if (random.below(8) == 0) fill_extremes(random, in, weight);
  for (Guarded<float>* reals : {&scale, &bias, &in_scale}) random.fill(*reals);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    std::int32_t acc = 0;
    each_tap(s, static_cast<std::int64_t>(i), [&](std::int64_t w, std::int64_t x) {
      for (std::int64_t c = 0; c < s.channels / s.groups; ++c) acc += in[size_of(x + c)] * weight[size_of(w + c)];
    });
    const float y = static_cast<float>(acc) * in_scale[0];
    const float scaled = y * scale[i % size_of(s.outputs)];
    expected[i] = scaled + bias[i % size_of(s.outputs)];
  }
  const ConvI8Shape shape = {s.window, s.channels, s.outputs, s.groups};
  for (const ConvI8Kernel* kernel : conv_i8_here()) {
    if (!kernel->supports(shape)) continue;
    Guarded<unsigned char> packed(size_of(static_cast<std::int64_t>(kernel->packed_bytes(shape))), Guard::kAfter, 64);
    kernel->pack(shape, weight.data(), packed.data());
    Guarded<float> out(out_size(s), random.guard());
    const ConvI8Args args = {shape, in.data(), in_scale.data(), packed.data(), scale.data(), bias.data(), out.data()};
    in_pieces(random, s.window.out_height,
              [&](std::int64_t begin, std::int64_t end) { kernel->run(args, begin, end); });
    tally.expect(out.same(expected), describe(kernel->name, s));
  }
}

}  // namespace

void check_convolutions(Tally& tally) {
  Random random(3);
  for (int i = 0; i < 200; ++i) {
    check_f32(tally, random);
    check_f32(tally, random);
    check_pixels(tally, random);
    check_i8(tally, random);
    check_u8<std::int8_t>(tally, random, random_shape(random, false, 4));
    check_u8<std::int16_t>(tally, random, random_shape(random, false, 4));
    check_u8<std::int8_t>(tally, random, random_stem(random));
    check_u8<std::int8_t>(tally, random, random_pooled_stem(random));
  }
}
