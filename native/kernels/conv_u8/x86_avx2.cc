// Products in 16 bits, two at a time (vpmaddwd): 255 * 32,767 * 2 fits int32, so nothing saturates, whatever the bits
// of a weight. Patches of a group of pixels are widened to 16 bits once; then a tile is up to six pixels against
// sixteen outputs: twelve sums in registers, six broadcasts of a pair of pixels, two loads of weights.
//
// Packed: minus the sum of an output's offsets; the offsets by tap; then weights as int16, blocks of 16 outputs x pairs
// of products x 16 x 2. Everything past the last output or product is zero.
#include <immintrin.h>
#include <string.h>

#include "conv_u8/conv_u8.h"
#include "patch.h"

namespace reactnet {
namespace {

constexpr int64_t kBlock = 16;
constexpr int64_t kTile = 6;
constexpr int64_t kGroup = 24;       // pixels, if their patches fit
constexpr int64_t kScratch = 16384;  // numbers: a first-level cache
constexpr int64_t kSlack = 16;       // a copy may write up to 15 numbers past its end

int64_t taps_of(const ConvU8Shape& s) { return s.window.kernel_h * s.window.kernel_w; }
int64_t pairs_of(const ConvU8Shape& s) { return (taps_of(s) * s.channels + 1) / 2; }
int64_t padded_outputs(const ConvU8Shape& s) { return (s.outputs + kBlock - 1) / kBlock * kBlock; }

int64_t patch_stride(const ConvU8Shape& s) { return pairs_of(s) * 2 + kSlack; }

bool supports(const ConvU8Shape& s) { return patch_stride(s) * kTile <= kScratch; }

uint64_t packed_bytes(const ConvU8Shape& s) {
  return static_cast<uint64_t>(padded_outputs(s) * (4 * (1 + taps_of(s)) + 4 * pairs_of(s)));
}

void pack(const ConvU8Shape& s, const void* weight, const int32_t* offset, void* packed) {
  memset(packed, 0, packed_bytes(s));
  const int64_t taps = taps_of(s);
  const int64_t products = taps * s.channels;
  int32_t* base = static_cast<int32_t*>(packed);
  int32_t* by_tap = base + padded_outputs(s);
  int16_t* weights = reinterpret_cast<int16_t*>(by_tap + taps * padded_outputs(s));
  for (int64_t o = 0; o < s.outputs; ++o) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      base[o] -= offset[o * taps + tap];
      by_tap[tap * padded_outputs(s) + o] = offset[o * taps + tap];
    }
    int16_t* block = weights + (o / kBlock * pairs_of(s) * kBlock + o % kBlock) * 2;
    for (int64_t i = 0; i < products; ++i) {
      const int64_t from = o * products + i;
      block[i / 2 * kBlock * 2 + i % 2] =
          s.weight_bits == 8 ? static_cast<const int8_t*>(weight)[from] : static_cast<const int16_t*>(weight)[from];
    }
  }
}

// Widens `count` bytes; reads sixteen at a time where `room` allows, and then writes up to 15 numbers too many.
void widen(int16_t* out, const uint8_t* in, int64_t count, int64_t room) {
  int64_t i = 0;
  for (; i < count && i + 16 <= room; i += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), _mm256_cvtepu8_epi16(bytes));
  }
  for (; i < count; ++i) {
    out[i] = in[i];
  }
}

// The patch of a pixel with all its taps inside.
void gather_whole(const ConvU8Args& args, int64_t from, int16_t* patch) {
  const Window& w = args.shape.window;
  const int64_t row = w.kernel_w * args.shape.channels;
  const int64_t row_step = w.width * args.shape.channels;
  const uint8_t* in = args.in + from;
  for (int64_t kh = 0; kh < w.kernel_h; ++kh, in += row_step, patch += row) {
    for (int64_t i = 0; i < row; i += 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(patch + i), _mm256_cvtepu8_epi16(bytes));
    }
  }
  *patch = 0;
}

// The patch of any pixel.
void gather(const ConvU8Args& args, Position p, int16_t* patch) {
  const Window& w = args.shape.window;
  const int64_t channels = args.shape.channels;
  const int64_t size = w.height * w.width * channels;
  const int64_t products = taps_of(args.shape) * channels;
  memset(patch, 0, static_cast<size_t>(products + 1) * sizeof(int16_t));
  each_run(w, p, {channels, 0, channels}, [&](int64_t at, int64_t from, int64_t count) {
    widen(patch + at, args.in + from, count, size - from);
    if (at + count <= products) {  // what was written too many may be outside, where it has to be zero
      const int64_t left = products + 1 - at - count;
      memset(patch + at + count, 0, static_cast<size_t>(left < kSlack ? left : kSlack) * sizeof(int16_t));
    }
  });
}

__m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

// Takes back the offsets of the taps that fall outside: the sum begins at minus those of all.
__m256i add_outside(const ConvU8Shape& s, Position p, const int32_t* by_tap, __m256i acc) {
  const Taps rows = inside_rows(s.window, p.oh);
  const Taps columns = inside_columns(s.window, p.ow);
  for (int64_t tap = 0; tap < taps_of(s); ++tap) {
    const int64_t row = tap / s.window.kernel_w;
    const int64_t column = tap % s.window.kernel_w;
    if (row < rows.begin || row >= rows.end || column < columns.begin || column >= columns.end) {
      acc = _mm256_add_epi32(acc, load(by_tap + tap * padded_outputs(s)));
    }
  }
  return acc;
}

// Of eight outputs those `left` that exist: y = f32(acc) * scale + bias.
void store_some(const float* scale, const float* bias, float* out, int64_t left, __m256i acc) {
  if (left > 0) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i lanes = _mm256_cmpgt_epi32(_mm256_set1_epi32(left < 8 ? static_cast<int32_t>(left) : 8), lane);
    const __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(acc), _mm256_maskload_ps(scale, lanes));
    _mm256_maskstore_ps(out, lanes, _mm256_add_ps(y, _mm256_maskload_ps(bias, lanes)));
  }
}

int32_t pair_at(const int16_t* p) {
  int32_t pair;
  memcpy(&pair, p, sizeof(pair));
  return pair;
}

// What a tile needs. `start` is where the sums of its pixels begin, `start_step` from one to the next: kBlock, or 0
// where none has taps outside.
struct Tile {
  const int16_t* patches;
  int64_t stride;  // from patch to patch
  const int16_t* weight;
  int64_t pairs;
  const int32_t* start;
  int64_t start_step;
  const float* scale;
  const float* bias;
  float* out;
  int64_t outputs;  // from pixel to pixel
  int64_t left;     // outputs from the block's first on
};

// A block of outputs of kPixels pixels. The pragmas: without them g++ 12 keeps the sums in memory.
template <int kPixels>
void run_tile(const Tile& t) {
  __m256i low[kPixels];
  __m256i high[kPixels];
#pragma GCC unroll 8
  for (int m = 0; m < kPixels; ++m) {
    low[m] = load(t.start + m * t.start_step);
    high[m] = load(t.start + m * t.start_step + 8);
  }
  const int16_t* weight = t.weight;
  for (int64_t i = 0; i < t.pairs; ++i, weight += kBlock * 2) {
    const __m256i w0 = load(weight);
    const __m256i w1 = load(weight + 16);
#pragma GCC unroll 8
    for (int m = 0; m < kPixels; ++m) {
      const __m256i x = _mm256_set1_epi32(pair_at(t.patches + m * t.stride + i * 2));
      low[m] = _mm256_add_epi32(low[m], _mm256_madd_epi16(x, w0));
      high[m] = _mm256_add_epi32(high[m], _mm256_madd_epi16(x, w1));
    }
  }
  if (t.left < kBlock) {
    float* out = t.out;
#pragma GCC unroll 8
    for (int m = 0; m < kPixels; ++m, out += t.outputs) {
      store_some(t.scale, t.bias, out, t.left, low[m]);
      store_some(t.scale + 8, t.bias + 8, out + 8, t.left - 8, high[m]);
    }
    return;
  }
  const __m256 scale[2] = {_mm256_loadu_ps(t.scale), _mm256_loadu_ps(t.scale + 8)};
  const __m256 bias[2] = {_mm256_loadu_ps(t.bias), _mm256_loadu_ps(t.bias + 8)};
  const int64_t outputs = t.outputs;
  float* out = t.out;
#pragma GCC unroll 8
  for (int m = 0; m < kPixels; ++m) {
    _mm256_storeu_ps(out + m * outputs, _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(low[m]), scale[0]), bias[0]));
    _mm256_storeu_ps(out + m * outputs + 8,
                     _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(high[m]), scale[1]), bias[1]));
  }
}

// Where the sums of a block begin for `pixels` pixels from `p` on.
void begin_sums(const ConvU8Shape& s, const Whole& whole, Position p, int64_t pixels, const int32_t* base,
                int32_t* start) {
  for (int64_t m = 0; m < pixels; ++m, p = next_position(s.window, p)) {
    for (int64_t i = 0; i < kBlock; i += 8) {
      const __m256i all = load(base + i);  // offsets by tap stand behind these, each as far from the last
      const __m256i sum = whole.has(p) ? all : add_outside(s, p, base + padded_outputs(s) + i, all);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(start + m * kBlock + i), sum);
    }
  }
}

// All outputs of `count` pixels, the first of which is at `p`.
void run_group(const ConvU8Args& args, const Whole& whole, Position p, int64_t count, const int16_t* patches) {
  using RunTile = void (*)(const Tile&);
  static constexpr RunTile kTiles[kTile] = {run_tile<1>, run_tile<2>, run_tile<3>,
                                            run_tile<4>, run_tile<5>, run_tile<6>};
  const ConvU8Shape& s = args.shape;
  const int32_t* base = static_cast<const int32_t*>(args.packed);
  const int16_t* weights = reinterpret_cast<const int16_t*>(base + (1 + taps_of(s)) * padded_outputs(s));
  int32_t start[kTile * kBlock];
  Tile t = {patches, patch_stride(s), weights, pairs_of(s), start, 0, nullptr, nullptr, nullptr, s.outputs, 0};
  for (int64_t begin = 0; begin < count; begin += kTile) {
    const int64_t pixels = count - begin < kTile ? count - begin : kTile;
    const int64_t pixel = p.oh * s.window.out_width + p.ow;
    // Pixels of one row, the first and the last of them whole: so are all between.
    const bool easy = p.ow + pixels <= s.window.out_width && whole.has(p) && whole.has({p.oh, p.ow + pixels - 1});
    t.patches = patches + begin * t.stride;
    t.start_step = easy ? 0 : kBlock;
    for (int64_t first = 0; first < s.outputs; first += kBlock) {
      t.start = easy ? base + first : start;
      if (!easy) {
        begin_sums(s, whole, p, pixels, base + first, start);
      }
      t.weight = weights + first * t.pairs * 2;
      t.scale = args.scale + first;
      t.bias = args.bias + first;
      t.out = args.out + pixel * s.outputs + first;
      t.left = s.outputs - first;
      kTiles[pixels - 1](t);
    }
    p = position_at(s.window, pixel + pixels);
  }
}

void run(const ConvU8Args& args, int64_t begin, int64_t end) {
  const Window& w = args.shape.window;
  const Whole whole = whole_of(w);
  // Whole patches that may be read sixteen bytes at a time begin no later.
  const int64_t channels = args.shape.channels;
  const int64_t last_row = (w.kernel_h - 1) * w.width * channels + (w.kernel_w * channels + 15) / 16 * 16;
  const int64_t latest = w.height * w.width * channels - last_row;
  const int64_t stride = patch_stride(args.shape);
  const int64_t fit = kScratch / stride / kTile * kTile;
  const int64_t most = fit < kGroup ? fit : kGroup;
  int16_t patches[kScratch];
  Position p = {begin, 0};
  for (int64_t left = (end - begin) * w.out_width; left > 0; left -= most) {
    const int64_t count = left < most ? left : most;
    const Position first = p;
    for (int64_t m = 0; m < count; ++m, p = next_position(w, p)) {
      const int64_t from = patch_begin(w, p, channels);
      if (whole.has(p) && from <= latest) {
        gather_whole(args, from, patches + m * stride);
      } else {
        gather(args, p, patches + m * stride);
      }
    }
    run_group(args, whole, first, count, patches);
  }
}

}  // namespace

constexpr ConvU8Kernel conv_u8_x86_avx2 = {"conv_u8_x86_avx2", Isa::kAvx2, supports, packed_bytes, pack, run};

}  // namespace reactnet
