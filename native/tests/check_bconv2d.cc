// bconv2d: scalar.cc against an oracle that counts in integers, a bit at a time; every other kernel against scalar.cc.
#include <cfloat>
#include <cmath>
#include <vector>

#include "bconv2d/bconv2d.h"
#include "check.h"

using namespace reactnet;

#if defined(REACTNET_TEST_SIMDE)
namespace reactnet {
extern const BConv2dKernel bconv2d_simde_avx512vpopcntdq;
}
#endif

namespace {

std::int64_t words_of(std::int64_t channels) { return (channels + 63) / 64; }

std::vector<const BConv2dKernel*> kernels_here() {
  std::vector<const BConv2dKernel*> out;
  for (const BConv2dKernel* kernel : bconv2d_kernels()) {
    if (isa_available(kernel->isa)) out.push_back(kernel);
  }
#if defined(REACTNET_TEST_SIMDE)
  out.push_back(&bconv2d_simde_avx512vpopcntdq);
#endif
  return out;
}

// Which optional steps a case has, one bit each.
enum Steps : unsigned { kScale = 1, kShortcut = 2, kSlope = 4, kShiftOut = 8, kReal = 16, kBits = 32, kInPlace = 64 };
constexpr unsigned kPooled = 256;    // instead of kReal, of kernels that pool
constexpr unsigned kInfinite = 128;  // with shortcuts and shifts of signs that are infinite, or no numbers
constexpr unsigned kZeros = 512;     // with shifts and shortcuts many of which are -0, or +0

struct Case {
  BConv2dShape shape;
  unsigned steps;
  std::int64_t shortcut_channels;
};

std::string describe(const Case& c) {
  const Window& w = c.shape.window;
  char text[256];
  std::snprintf(text, sizeof(text), "%dx%d c%d o%d g%d k%dx%d s%d,%d p%d,%d pad%d steps%u shortcut%d",
                static_cast<int>(w.height), static_cast<int>(w.width), static_cast<int>(c.shape.channels),
                static_cast<int>(c.shape.outputs), static_cast<int>(c.shape.groups), static_cast<int>(w.kernel_h),
                static_cast<int>(w.kernel_w), static_cast<int>(w.stride_h), static_cast<int>(w.stride_w),
                static_cast<int>(w.padding_h), static_cast<int>(w.padding_w), static_cast<int>(c.shape.padding_value),
                c.steps, static_cast<int>(c.shortcut_channels));
  return text;
}

// All arrays of one case, each between guard pages.
struct Data {
  Guarded<std::uint64_t> in, weight;
  Guarded<float> scale, shift, slope, shift_out, next_shift, shortcut;

  Data(const Case& c, Random& random)
      : in(size_of(c.shape.window.height * c.shape.window.width * words_of(c.shape.channels)), random.guard()),
        weight(size_of(c.shape.outputs * c.shape.window.kernel_h * c.shape.window.kernel_w *
                       words_of(c.shape.channels / c.shape.groups)),
               random.guard()),
        scale(size_of(c.shape.outputs), random.guard()),
        shift(size_of(c.shape.outputs), random.guard()),
        slope(size_of(c.shape.outputs), random.guard()),
        shift_out(size_of(c.shape.outputs), random.guard()),
        next_shift(size_of(c.shape.outputs), random.guard()),
        shortcut(size_of(c.shape.window.out_height * c.shape.window.out_width * c.shortcut_channels), random.guard()) {
    fill_bits(in, c.shape.channels, random);
    fill_bits(weight, c.shape.channels / c.shape.groups, random);
    for (Guarded<float>* reals : {&scale, &shift, &slope, &shift_out, &next_shift, &shortcut}) random.fill(*reals);
    if (c.steps & kInfinite) {
      for (Guarded<float>* reals : {&next_shift, &shortcut}) fill_infinite(*reals, random);
    }
    if (c.steps & kZeros) {
      for (Guarded<float>* reals : {&shift, &shortcut}) fill_zeros(*reals, random);
    }
  }

  static void fill_zeros(Guarded<float>& out, Random& random) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (random.below(4) != 0) out[i] = random.below(8) == 0 ? 0.0f : -0.0f;
    }
  }

  static void fill_infinite(Guarded<float>& out, Random& random) {
    static const float kValues[] = {HUGE_VALF, -HUGE_VALF, NAN, FLT_MAX, -FLT_MAX};
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (random.coin()) out[i] = random.pick(kValues);
    }
  }

  // Random words, or now and then all ones or all zeros: the largest sums. Tail bits are 0.
  static void fill_bits(Guarded<std::uint64_t>& out, std::int64_t channels, Random& random) {
    const std::int64_t mode = random.below(6);
    const std::size_t words = size_of(words_of(channels));
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = mode == 0 ? ~std::uint64_t{0} : mode == 1 ? 0 : random.word();
      if (channels % 64 != 0 && i % words == words - 1) out[i] &= (std::uint64_t{1} << (channels % 64)) - 1;
    }
  }
};

struct Output {
  Guarded<float> real, pooled;
  Guarded<std::uint64_t> bits;

  Output(const Case& c, Random& random)
      : real(size_of(c.shape.window.out_height * c.shape.window.out_width * c.shape.outputs), random.guard()),
        pooled(size_of(c.shape.window.out_height / 2 * (c.shape.window.out_width / 2) * c.shape.outputs),
               random.guard()),
        bits(size_of(c.shape.window.out_height * c.shape.window.out_width * words_of(c.shape.outputs)),
             random.guard()) {}
  bool same(const Output& other) const {
    return real.same(other.real) && pooled.same(other.pooled) && bits.same(other.bits);
  }
};

void run_kernel(const BConv2dKernel& kernel, const Case& c, const Data& d, Random& random, Output& out) {
  Guarded<unsigned char> packed(size_of(static_cast<std::int64_t>(kernel.packed_bytes(c.shape))), Guard::kAfter, 64);
  kernel.pack(c.shape, d.weight.data(), packed.data());
  Guarded<unsigned char> scratch(size_of(static_cast<std::int64_t>(kernel.scratch_bytes(c.shape))), Guard::kAfter, 64);
  const bool in_place = (c.steps & kInPlace) != 0;
  if (in_place) out.real.copy(d.shortcut);
  BConv2dArgs args = {};
  args.shape = c.shape;
  args.in = d.in.data();
  args.packed = packed.data();
  args.scale = c.steps & kScale ? d.scale.data() : nullptr;
  args.shift = c.steps & kScale ? d.shift.data() : nullptr;
  args.shortcut = c.steps & kShortcut ? (in_place ? out.real.data() : d.shortcut.data()) : nullptr;
  args.shortcut_channels = c.shortcut_channels;
  args.slope = c.steps & kSlope ? d.slope.data() : nullptr;
  args.shift_out = c.steps & kShiftOut ? d.shift_out.data() : nullptr;
  args.out_real = c.steps & kReal ? out.real.data() : nullptr;
  args.next_shift = c.steps & kBits ? d.next_shift.data() : nullptr;
  args.out_bits = c.steps & kBits ? out.bits.data() : nullptr;
  args.scratch = scratch.data();
  args.out_pooled = c.steps & kPooled ? out.pooled.data() : nullptr;
  const std::int64_t unit = c.steps & kPooled ? 2 : 1;
  in_pieces(random, c.shape.window.out_height / unit,
            [&](std::int64_t begin, std::int64_t end) { kernel.run(args, begin * unit, end * unit); });
}

// +1 or -1: channel c of the pixel or tap that begins at `words`.
int value_at(const std::uint64_t* words, std::int64_t c) { return (words[c / 64] >> (c % 64) & 1) != 0 ? 1 : -1; }

long oracle_sum(const BConv2dShape& s, const Data& d, std::int64_t oh, std::int64_t ow, std::int64_t o) {
  const Window& w = s.window;
  const std::int64_t group = s.channels / s.groups;
  const std::int64_t first = o / (s.outputs / s.groups) * group;
  long sum = 0;
  for (std::int64_t kh = 0; kh < w.kernel_h; ++kh) {
    for (std::int64_t kw = 0; kw < w.kernel_w; ++kw) {
      const std::int64_t ih = oh * w.stride_h + kh - w.padding_h;
      const std::int64_t iw = ow * w.stride_w + kw - w.padding_w;
      const bool inside = ih >= 0 && ih < w.height && iw >= 0 && iw < w.width;
      const std::uint64_t* weight = d.weight.data() + ((o * w.kernel_h + kh) * w.kernel_w + kw) * words_of(group);
      const std::uint64_t* pixel = inside ? d.in.data() + (ih * w.width + iw) * words_of(s.channels) : nullptr;
      for (std::int64_t c = 0; c < group; ++c) {
        sum += value_at(weight, c) * (inside ? value_at(pixel, first + c) : static_cast<int>(s.padding_value));
      }
    }
  }
  return sum;
}

void run_oracle(const Case& c, const Data& d, Output& out) {
  const std::int64_t outputs = c.shape.outputs;
  const std::int64_t width = c.shape.window.out_width;
  if (c.steps & kBits) std::memset(out.bits.data(), 0, out.bits.size() * 8);
  for (std::int64_t i = 0; i < c.shape.window.out_height * width * outputs; ++i) {
    const std::size_t o = size_of(i % outputs);
    const std::int64_t pixel = i / outputs;
    float y = static_cast<float>(oracle_sum(c.shape, d, pixel / width, pixel % width, i % outputs));
    if (c.steps & kScale) {
      y *= d.scale[o];
      y += d.shift[o];
    }
    if (c.steps & kShortcut) y += d.shortcut[size_of(pixel * c.shortcut_channels + i % outputs % c.shortcut_channels)];
    if ((c.steps & kSlope) && !(y >= 0.0f)) y *= d.slope[o];
    if (c.steps & kShiftOut) y += d.shift_out[o];
    if (c.steps & kReal) out.real[size_of(i)] = y;
    if (c.steps & kPooled) {
      const std::int64_t row = pixel / width;
      const std::int64_t column = pixel % width;
      float& mean = out.pooled[size_of((row / 2 * (width / 2) + column / 2) * outputs + i % outputs)];
      mean = (row % 2 == 0 && column % 2 == 0 ? 0.0f : mean) + y;
      if (row % 2 != 0 && column % 2 != 0) mean /= 4.0f;
    }
    if ((c.steps & kBits) && y + d.next_shift[o] >= 0.0f) {
      out.bits[size_of(pixel * words_of(outputs) + i % outputs / 64)] |= std::uint64_t{1} << (i % outputs % 64);
    }
  }
}

void check_case(Tally& tally, const Case& c, std::uint64_t seed) {
  Random random(seed);
  const Data data(c, random);
  Output expected(c, random);
  run_oracle(c, data, expected);
  for (const BConv2dKernel* kernel : kernels_here()) {
    if (!kernel->supports(c.shape) || ((c.steps & kPooled) && !kernel->pools)) continue;
    Output out(c, random);
    run_kernel(*kernel, c, data, random, out);
    tally.expect(out.same(expected), std::string(kernel->name) + ": " + describe(c));
  }
}

std::int64_t out_size(std::int64_t size, std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
  return (size + 2 * padding - kernel) / stride + 1;
}

Case random_case(Random& random) {
  static const std::int64_t kChannels[] = {1, 31, 32, 33, 63, 64, 65, 127, 128, 200, 320};
  static const std::int64_t kOutputs[] = {1, 7, 8, 9, 31, 33, 64, 65, 72, 130};
  static const std::int64_t kMaps[][2] = {{1, 1}, {2, 3}, {5, 7}, {14, 14}, {3, 17}, {4, 9}};
  static const std::int64_t kKernels[] = {1, 1, 3, 3, 5};
  const std::int64_t* map = kMaps[random.below(6)];
  Case c = {};
  Window& w = c.shape.window;
  do {
    w.height = map[0];
    w.width = map[1];
    w.kernel_h = random.pick(kKernels);
    w.kernel_w = random.below(4) == 0 ? random.pick(kKernels) : w.kernel_h;
    w.padding_h = random.below(w.kernel_h);
    w.padding_w = random.coin() ? w.kernel_w / 2 : random.below(w.kernel_w);
  } while (w.height + 2 * w.padding_h < w.kernel_h || w.width + 2 * w.padding_w < w.kernel_w);
  w.stride_h = 1 + random.below(2);
  w.stride_w = 1 + random.below(3);
  w.out_height = out_size(w.height, w.kernel_h, w.stride_h, w.padding_h);
  w.out_width = out_size(w.width, w.kernel_w, w.stride_w, w.padding_w);
  static const std::int64_t kGroups[] = {2, 3, 4, 7};
  c.shape.groups = random.below(4) == 0 ? random.pick(kGroups) : 1;
  const std::int64_t groups = c.shape.groups;
  c.shape.channels = groups == 1 ? random.pick(kChannels) : groups * (1 + random.below(70));
  c.shape.outputs = groups == 1 ? random.pick(kOutputs) : groups * (1 + random.below(9));
  c.shape.padding_value = random.below(3) - 1;
  c.steps = static_cast<unsigned>(random.below(64));
  if ((c.steps & (kReal | kBits)) == 0) c.steps |= kReal;
  c.shortcut_channels = c.shape.outputs;
  if ((c.steps & kShortcut) && random.coin()) {
    for (std::int64_t parts : {2, 3, 5}) {
      if (c.shape.outputs % parts == 0) c.shortcut_channels = c.shape.outputs / parts;
    }
  } else if ((c.steps & kShortcut) && (c.steps & kReal) && random.coin()) {
    c.steps |= kInPlace;
  }
  return c;
}

Case layer(std::int64_t size, std::int64_t channels, std::int64_t outputs, std::int64_t kernel) {
  const std::int64_t pad = kernel / 2;
  return {{{size, size, size, size, kernel, kernel, 1, 1, pad, pad}, channels, outputs, 1, 0},
          kScale | kShortcut | kSlope | kReal | kBits | kInPlace,
          outputs};
}

}  // namespace

void check_bconv2d(Tally& tally) {
  Random random(1);
  for (int i = 0; i < 1200; ++i) {
    check_case(tally, random_case(random), random.word());
  }
  for (unsigned steps = 1; steps < 64; ++steps) {  // every combination of steps on one shape with a tail everywhere
    Case c = layer(5, 65, 73, 3);
    c.steps = steps & (kReal | kBits) ? steps : steps | kReal;
    check_case(tally, c, random.word());
  }
  for (const std::int64_t outputs : {32, 64, 73}) {  // bits alone: which no-number a real is, the law does not say
    Case c = layer(outputs == 64 ? 28 : 7, 64, outputs, 1);
    c.steps = kScale | kShortcut | kSlope | kBits | kInfinite;
    check_case(tally, c, random.word());
  }
  for (const std::int64_t channels : {3, 32, 64, 65}) {  // counts as they are
    for (const std::int64_t outputs : {40, 64, 128}) {
      Case c = layer(outputs == 128 ? 5 : 26, channels, outputs, 1);
      c.steps = kReal;
      check_case(tally, c, random.word());
      Window& w = c.shape.window;  // and with a border, whose windows are empty
      w.padding_h = w.padding_w = 1;
      w.out_height = w.out_width = w.width + 2;
      check_case(tally, c, random.word());
    }
  }
  for (const unsigned steps : {kScale | kSlope, kScale | kShortcut | kSlope}) {  // many sums are +0, or -0
    for (const std::int64_t channels : {2, 64}) {
      Case c = layer(14, channels, 64, 1);
      c.steps = steps | kReal | kBits | kZeros;
      check_case(tally, c, random.word());
    }
  }
  for (int i = 0; i < 400;) {  // maps that are pooled, of all kinds and of ReActNet's
    Case c = i % 4 != 0 ? random_case(random) : layer(i % 8 != 0 ? 28 : 14, 64, 64, random.coin() ? 3 : 1);
    if (i % 4 == 0) c.shape.window.height = c.shape.window.out_height = 6;
    if (c.shape.window.out_height % 2 != 0 || c.shape.window.out_width % 2 != 0) continue;
    c.steps = (c.steps & ~unsigned{kReal | kInPlace}) | kPooled | kBits;
    check_case(tally, c, random.word());
    ++i;
  }
  for (int i = 0; i < 6; ++i) {  // long rows: 9,216 bits, and past what 16 bits count
    check_case(tally, layer(3, 1024, 40, 3), random.word());
    check_case(tally, layer(2, 32768, 3, 1), random.word());
    check_case(tally, layer(1, 65536, 3, 1), random.word());
  }
  for (const std::int64_t channels : {32, 64, 96, 128, 256, 512}) {  // every tile and every step from pixel to pixel
    for (const std::int64_t stride : {1, 2}) {
      for (const std::int64_t size : {7, 8, 9, 28}) {
        Case c = layer(size * stride, channels, size == 28 ? 64 : 40, size == 28 || random.coin() ? 3 : 1);
        Window& w = c.shape.window;
        w.stride_h = w.stride_w = stride;
        w.out_height = w.out_width = out_size(w.height, w.kernel_h, stride, w.padding_h);
        c.shape.padding_value = random.below(3) - 1;
        if (size == 28) w.height = w.out_height = 3;
        if (size == 28) w.stride_h = 1;
        check_case(tally, c, random.word());
      }
    }
  }
  const BConv2dShape huge = layer(1, 65536, 1, 3).shape;
  tally.expect(choose_bconv2d(huge, isa_best()) != nullptr, "no kernel for the longest row");
  tally.expect(choose_bconv2d(huge, Isa::kScalar) == &bconv2d_scalar, "the ceiling does not hold");
}
