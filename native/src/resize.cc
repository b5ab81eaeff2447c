#include "resize.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "fault.h"

namespace reactnet {
namespace {

constexpr int kPrecision = 22;  // fractional bits of a coefficient: 8 bits of pixel, 2 of headroom, 22 make 32
constexpr std::int64_t kMaxPixels = std::int64_t{1} << 28;
constexpr std::int64_t kMaxSide = std::int64_t{1} << 20;

// The inputs that one output is made of, and their weights.
struct Taps {
  std::int64_t begin;
  std::size_t count;
  std::size_t first;  // place of the first weight in Filter::weights
};

struct Filter {
  std::vector<Taps> taps;  // one for each wanted output
  std::vector<std::int32_t> weights;
};

// A triangle as wide as the reduction, centred on the output's middle, normalised, in fixed point.
Filter make_filter(std::int64_t in_size, std::int64_t out_size, std::int64_t begin, std::int64_t count) {
  const double scale = static_cast<double>(in_size) / static_cast<double>(out_size);
  const double support = std::max(scale, 1.0);
  const double narrow = 1.0 / support;
  Filter filter;
  std::vector<double> triangle;
  for (std::int64_t out = begin; out < begin + count; ++out) {
    const double center = (static_cast<double>(out) + 0.5) * scale;
    const std::int64_t low = std::max<std::int64_t>(static_cast<std::int64_t>(center - support + 0.5), 0);
    const std::int64_t high = std::min(static_cast<std::int64_t>(center + support + 0.5), in_size);
    triangle.clear();
    double sum = 0;
    for (std::int64_t in = low; in < high; ++in) {
      const double distance = std::fabs((static_cast<double>(in) - center + 0.5) * narrow);
      triangle.push_back(distance < 1.0 ? 1.0 - distance : 0.0);
      sum += triangle.back();
    }
    filter.taps.push_back({low, triangle.size(), filter.weights.size()});
    for (const double weight : triangle) {
      const double fixed = (sum != 0 ? weight / sum : weight) * (1 << kPrecision);
      filter.weights.push_back(static_cast<std::int32_t>(fixed + 0.5));  // no weight is negative
    }
  }
  return filter;
}

std::uint8_t clip8(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp<std::int32_t>(sum >> kPrecision, 0, 255));
}

// rows x in_width x channels -> rows x taps x channels
void horizontal(const std::uint8_t* in, std::int64_t rows, std::int64_t in_width, std::int64_t channels,
                const Filter& filter, std::uint8_t* out) {
  for (std::int64_t row = 0; row < rows; ++row, in += in_width * channels) {
    for (const Taps& taps : filter.taps) {
      const std::int32_t* weight = filter.weights.data() + taps.first;
      for (std::int64_t c = 0; c < channels; ++c) {
        const std::uint8_t* pixel = in + taps.begin * channels + c;
        std::int32_t sum = 1 << (kPrecision - 1);
        for (std::size_t i = 0; i < taps.count; ++i, pixel += channels) {
          sum += *pixel * weight[i];
        }
        *out++ = clip8(sum);
      }
    }
  }
}

// `in` begins at row `first_row`; rows of `length` bytes.
void vertical(const std::uint8_t* in, std::int64_t first_row, std::int64_t length, const Filter& filter,
              std::uint8_t* out) {
  const auto bytes = static_cast<std::size_t>(length);
  std::vector<std::int32_t> sums(bytes);
  for (const Taps& taps : filter.taps) {
    std::fill(sums.begin(), sums.end(), 1 << (kPrecision - 1));
    const std::uint8_t* row = in + (taps.begin - first_row) * length;
    for (std::size_t i = 0; i < taps.count; ++i, row += length) {
      const std::int32_t weight = filter.weights[taps.first + i];
      for (std::size_t x = 0; x < bytes; ++x) {
        sums[x] += row[x] * weight;
      }
    }
    out = std::transform(sums.begin(), sums.end(), out, clip8);
  }
}

void check_size(std::int64_t height, std::int64_t width, const char* what) {
  const bool fits =
      height >= 1 && width >= 1 && height <= kMaxSide && width <= kMaxSide && height * width <= kMaxPixels;
  if (!fits) {
    fail(REACTNET_ERROR_ARGUMENT,
         std::string(what) + " of " + std::to_string(height) + "x" + std::to_string(width) + " pixels",
         "use sides from 1 to 2^20 and at most 2^28 pixels");
  }
}

// (all - part) / 2, a half to even.
std::int64_t centre(std::int64_t all, std::int64_t part) {
  const std::int64_t twice = all - part;
  const std::int64_t half = twice / 2;
  return twice % 2 == 0 ? half : half + half % 2;
}

}  // namespace

void resize(const Pixels& image, const Pair& size, const Part& part, std::uint8_t* out) {
  const Shape& in = image.shape;
  check_size(in.height, in.width, "an image");
  check_size(part.height, part.width, "a result");
  const Filter down = make_filter(in.height, size[0], part.top, part.height);
  const Filter across = make_filter(in.width, size[1], part.left, part.width);
  const std::int64_t in_length = in.width * in.channels;
  const std::int64_t out_length = part.width * in.channels;
  // Pillow 13 takes the order that it expects to be cheaper; the 8 bits between the passes make it visible.
  if (in.height - size[0] > 2 * std::max<std::int64_t>(in.width - size[1], 0)) {
    std::vector<std::uint8_t> between(static_cast<std::size_t>(part.height * in_length));
    vertical(image.data, 0, in_length, down, between.data());
    horizontal(between.data(), part.height, in.width, in.channels, across, out);
    return;
  }
  const std::int64_t first = down.taps.front().begin;
  const std::int64_t rows = down.taps.back().begin + static_cast<std::int64_t>(down.taps.back().count) - first;
  std::vector<std::uint8_t> between(static_cast<std::size_t>(rows * out_length));
  horizontal(image.data + first * in_length, rows, in.width, in.channels, across, between.data());
  vertical(between.data(), first, out_length, down, out);
}

void preprocess(const Preprocessing& how, const Pixels& image, std::uint8_t* out) {
  const Shape& in = image.shape;
  check_size(in.height, in.width, "an image");
  Pair size = how.resize;
  if (how.shorter_edge) {
    const std::int64_t shorter = std::min(in.height, in.width);
    size = {in.height * how.resize[0] / shorter, in.width * how.resize[1] / shorter};
  }
  const Part part = {centre(size[0], how.crop[0]), centre(size[1], how.crop[1]), how.crop[0], how.crop[1]};
  resize(image, size, part, out);
}

}  // namespace reactnet
