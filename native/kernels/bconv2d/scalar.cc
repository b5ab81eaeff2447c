// The plain kernel: any shape, and the measure of all others. Weights stay as in the file.
#include <string.h>

#include "bconv2d/bconv2d.h"

namespace reactnet {
namespace {

int64_t words_of(int64_t channels) { return (channels + 63) / 64; }

#if defined(__x86_64__) && !defined(__POPCNT__)
// Counts a byte at a time: 31 words at most fit the bytes of a sum.
uint64_t byte_counts(uint64_t v) {
  v = v - ((v >> 1) & 0x5555555555555555u);
  v = (v & 0x3333333333333333u) + ((v >> 2) & 0x3333333333333333u);
  return (v + (v >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
}

int32_t popcount(uint64_t v) { return static_cast<int32_t>((byte_counts(v) * 0x0101010101010101u) >> 56); }

int32_t distance(const uint64_t* a, const uint64_t* b, int64_t words) {
  int32_t count = 0;
  for (int64_t begin = 0; begin < words; begin += 31) {
    const int64_t end = words < begin + 31 ? words : begin + 31;
    uint64_t bytes = 0;
    for (int64_t i = begin; i < end; ++i) {
      bytes += byte_counts(a[i] ^ b[i]);
    }
    const uint64_t pairs = (bytes & 0x00FF00FF00FF00FFu) + ((bytes >> 8) & 0x00FF00FF00FF00FFu);
    count += static_cast<int32_t>((pairs * 0x0001000100010001u) >> 48);
  }
  return count;
}
#else
int32_t popcount(uint64_t v) { return __builtin_popcountll(v); }

int32_t distance(const uint64_t* a, const uint64_t* b, int64_t words) {
  int32_t count = 0;
  for (int64_t i = 0; i < words; ++i) {
    count += popcount(a[i] ^ b[i]);
  }
  return count;
}
#endif

// Bits first to first + count - 1 (count <= 64) of a pixel, wherever the words' edges fall.
uint64_t bits_at(const uint64_t* pixel, int64_t first, int64_t count) {
  const int64_t word = first / 64;
  const int64_t shift = first % 64;
  uint64_t v = pixel[word] >> shift;
  if (shift + count > 64) {
    v |= pixel[word + 1] << (64 - shift);
  }
  return count == 64 ? v : v & ((uint64_t{1} << count) - 1);
}

// Differing bits between one group of a pixel and its weights.
int32_t group_distance(const uint64_t* pixel, int64_t first, int64_t channels, const uint64_t* weight) {
  int32_t count = 0;
  for (int64_t c = 0; c < channels; c += 64) {
    const int64_t bits = channels - c < 64 ? channels - c : 64;
    count += popcount(bits_at(pixel, first + c, bits) ^ weight[c / 64]);
  }
  return count;
}

struct Layer {
  const BConv2dShape* shape;
  const uint64_t* in;
  const uint64_t* weight;
  int64_t in_words;        // of a pixel
  int64_t group_channels;  // of the input
  int64_t group_outputs;
  int64_t tap_words;  // of the weights of one output
};

// Sum of w * x over the taps [begin, end) of row kh, which are inside.
int32_t inside_sum(const Layer& layer, int64_t ih, int64_t first_column, Taps taps, int64_t kh, int64_t o) {
  const Window& w = layer.shape->window;
  const int64_t count = taps.end - taps.begin;
  const uint64_t* x = layer.in + (ih * w.width + first_column + taps.begin) * layer.in_words;
  const uint64_t* weight = layer.weight + ((o * w.kernel_h + kh) * w.kernel_w + taps.begin) * layer.tap_words;
  int32_t differing = 0;
  if (layer.shape->groups == 1) {
    differing = distance(x, weight, count * layer.in_words);
  } else {
    const int64_t first = o / layer.group_outputs * layer.group_channels;
    for (int64_t i = 0; i < count; ++i) {
      differing += group_distance(x + i * layer.in_words, first, layer.group_channels, weight + i * layer.tap_words);
    }
  }
  return static_cast<int32_t>(count * layer.group_channels) - 2 * differing;
}

// Sum of the weights of the taps [begin, end) of row kh.
int32_t weight_sum(const Layer& layer, Taps taps, int64_t kh, int64_t o) {
  const Window& w = layer.shape->window;
  const uint64_t* weight = layer.weight + ((o * w.kernel_h + kh) * w.kernel_w + taps.begin) * layer.tap_words;
  const int64_t count = taps.end - taps.begin;
  int32_t ones = 0;
  for (int64_t i = 0; i < count * layer.tap_words; ++i) {
    ones += popcount(weight[i]);
  }
  return 2 * ones - static_cast<int32_t>(count * layer.group_channels);
}

int32_t sum_at(const Layer& layer, int64_t oh, int64_t ow, int64_t o) {
  const Window& w = layer.shape->window;
  const Taps rows = inside_rows(w, oh);
  const Taps columns = inside_columns(w, ow);
  const int64_t top = oh * w.stride_h - w.padding_h;
  const int64_t left = ow * w.stride_w - w.padding_w;
  int32_t inside = 0;
  int32_t outside = 0;
  const bool counts_outside = layer.shape->padding_value != 0;
  for (int64_t kh = 0; kh < w.kernel_h; ++kh) {
    const bool in_map = kh >= rows.begin && kh < rows.end && columns.begin < columns.end;
    if (in_map) {
      inside += inside_sum(layer, top + kh, left, columns, kh, o);
    }
    if (counts_outside && in_map) {
      outside += weight_sum(layer, {0, columns.begin}, kh, o) + weight_sum(layer, {columns.end, w.kernel_w}, kh, o);
    } else if (counts_outside) {
      outside += weight_sum(layer, {0, w.kernel_w}, kh, o);
    }
  }
  return inside + static_cast<int32_t>(layer.shape->padding_value) * outside;
}

float epilogue(const BConv2dArgs& args, int64_t pixel, int64_t o, int32_t acc) {
  float y = static_cast<float>(acc);
  if (args.scale != nullptr) {
    y = y * args.scale[o];
    y = y + args.shift[o];
  }
  if (args.shortcut != nullptr) {
    y = y + args.shortcut[pixel * args.shortcut_channels + o % args.shortcut_channels];
  }
  if (args.slope != nullptr) {
    y = y >= 0.0f ? y : args.slope[o] * y;
  }
  return args.shift_out != nullptr ? y + args.shift_out[o] : y;
}

void run_pixel(const BConv2dArgs& args, const Layer& layer, int64_t oh, int64_t ow) {
  const int64_t outputs = args.shape.outputs;
  const int64_t pixel = oh * args.shape.window.out_width + ow;
  uint64_t word = 0;
  for (int64_t o = 0; o < outputs; ++o) {
    const float y = epilogue(args, pixel, o, sum_at(layer, oh, ow, o));
    if (args.out_real != nullptr) {
      args.out_real[pixel * outputs + o] = y;
    }
    if (args.out_bits != nullptr) {
      word |= static_cast<uint64_t>(y + args.next_shift[o] >= 0.0f) << (o % 64);
      if (o % 64 == 63 || o == outputs - 1) {
        args.out_bits[pixel * words_of(outputs) + o / 64] = word;
        word = 0;
      }
    }
  }
}

bool supports(const BConv2dShape&) { return true; }

int64_t weight_words(const BConv2dShape& s) {
  return s.outputs * s.window.kernel_h * s.window.kernel_w * words_of(s.channels / s.groups);
}

uint64_t packed_bytes(const BConv2dShape& shape) { return static_cast<uint64_t>(weight_words(shape)) * 8; }

void pack(const BConv2dShape& shape, const uint64_t* weight, void* packed) {
  memcpy(packed, weight, packed_bytes(shape));
}

void run(const BConv2dArgs& args, int64_t begin, int64_t end) {
  const BConv2dShape& s = args.shape;
  const int64_t group_channels = s.channels / s.groups;
  const Layer layer = {&s,
                       args.in,
                       static_cast<const uint64_t*>(args.packed),
                       words_of(s.channels),
                       group_channels,
                       s.outputs / s.groups,
                       words_of(group_channels)};
  for (int64_t oh = begin; oh < end; ++oh) {
    for (int64_t ow = 0; ow < s.window.out_width; ++ow) {
      run_pixel(args, layer, oh, ow);
    }
  }
}

uint64_t scratch_bytes(const BConv2dShape&) { return 0; }

}  // namespace

constexpr BConv2dKernel bconv2d_scalar = {"bconv2d_scalar", Isa::kScalar, supports, packed_bytes, pack,
                                          scratch_bytes,    run};

}  // namespace reactnet
