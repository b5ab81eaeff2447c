// Products in 16 bits, two at a time (vpmaddwd): 255 * 32,767 * 2 fits int32, so nothing saturates, whatever the bits
// of a weight. The rows of the map that a row of outputs reads are widened to 16 bits once, with zeros for what lies
// outside: the taps of a window's row lie side by side there, and windows overlap instead of being copied. A tile is up
// to six pixels against sixteen outputs: twelve sums in registers, six broadcasts of a pair of numbers, two loads of
// weights.
//
// Packed: sums of offsets; then weights as int16, blocks of 16 outputs x rows of the window x pairs of products x 16 x
// 2. Everything past the last output, or the last product of a row, is zero.
#include "conv_u8/x86_avx2_rows.h"

namespace reactnet {
namespace {

constexpr int64_t kTile = 6;
constexpr int64_t kScratch = 16384;  // numbers: a first-level cache

int64_t row_pairs(const ConvU8Shape& s) { return (s.window.kernel_w * s.channels + 1) / 2; }
int64_t pairs_of(const ConvU8Shape& s) { return s.window.kernel_h * row_pairs(s); }

bool supports(const ConvU8Shape& s) { return s.window.kernel_h * (row_numbers(s, 1) + kSlack) <= kScratch; }

// Outputs of a row that are taken at once: all, or whole tiles that fit.
int64_t columns_of(const ConvU8Shape& s) {
  const Window& w = s.window;
  const int64_t most = ((kScratch / w.kernel_h - kSlack) / s.channels - w.kernel_w) / w.stride_w + 1;
  return w.out_width <= most ? w.out_width : most < kTile ? most : most / kTile * kTile;
}

uint64_t packed_bytes(const ConvU8Shape& s) {
  return static_cast<uint64_t>(4 * offset_numbers(s, padded_outputs(s)) + 4 * pairs_of(s) * padded_outputs(s));
}

void pack(const ConvU8Shape& s, const void* weight, const int32_t* offset, void* packed) {
  memset(packed, 0, packed_bytes(s));
  pack_offsets(s, offset, padded_outputs(s), packed);
  const int64_t row = s.window.kernel_w * s.channels;
  const int64_t products = s.window.kernel_h * row;
  int16_t* weights = reinterpret_cast<int16_t*>(static_cast<uint32_t*>(packed) + offset_numbers(s, padded_outputs(s)));
  for (int64_t o = 0; o < s.outputs; ++o) {
    int16_t* block = weights + (o / kBlock * pairs_of(s) * kBlock + o % kBlock) * 2;
    for (int64_t i = 0; i < products; ++i) {
      const int64_t from = o * products + i;
      const int64_t place = i / row * row_pairs(s) * 2 + i % row;
      block[place / 2 * kBlock * 2 + place % 2] =
          s.weight_bits == 8 ? static_cast<const int8_t*>(weight)[from] : static_cast<const int16_t*>(weight)[from];
    }
  }
}

// What a tile needs. `start` is where the sums of its pixels begin, `start_step` from one to the next: kBlock, or 0
// where none has taps outside.
struct Tile {
  const int16_t* rows;  // where the first pixel's window begins
  int64_t row_stride;   // from row to row of the window
  int64_t pixel_step;   // from pixel to pixel
  int64_t kernel_h;
  const int16_t* weight;
  int64_t pairs;  // of a row of the window
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
  const int16_t* row = t.rows;
  for (int64_t kh = 0; kh < t.kernel_h; ++kh, row += t.row_stride) {
    for (int64_t i = 0; i < t.pairs; ++i, weight += kBlock * 2) {
      const __m256i w0 = load(weight);
      const __m256i w1 = load(weight + 16);
#pragma GCC unroll 8
      for (int m = 0; m < kPixels; ++m) {
        const __m256i x = pair_at(row + m * t.pixel_step + i * 2);
        low[m] = _mm256_add_epi32(low[m], _mm256_madd_epi16(x, w0));
        high[m] = _mm256_add_epi32(high[m], _mm256_madd_epi16(x, w1));
      }
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
    _mm256_storeu_ps(out + m * outputs, finish(low[m], scale[0], bias[0]));
    _mm256_storeu_ps(out + m * outputs + 8, finish(high[m], scale[1], bias[1]));
  }
}

// All outputs of `count` pixels of one row, the first of which is at `p`.
void run_row(const ConvU8Args& args, const Whole& whole, Position p, int64_t count, int64_t stride,
             const int16_t* rows) {
  using RunTile = void (*)(const Tile&);
  static constexpr RunTile kTiles[kTile] = {run_tile<1>, run_tile<2>, run_tile<3>,
                                            run_tile<4>, run_tile<5>, run_tile<6>};
  const ConvU8Shape& s = args.shape;
  const int32_t* base = static_cast<const int32_t*>(args.packed);
  const int16_t* weights = reinterpret_cast<const int16_t*>(base + offset_numbers(s, padded_outputs(s)));
  int32_t start[kTile * kBlock];
  Tile t = {};
  t.row_stride = stride;
  t.pixel_step = s.window.stride_w * s.channels;
  t.kernel_h = s.window.kernel_h;
  t.pairs = row_pairs(s);
  t.outputs = s.outputs;
  for (int64_t begin = 0; begin < count; begin += kTile, p.ow += kTile) {
    const int64_t pixels = count - begin < kTile ? count - begin : kTile;
    const int64_t pixel = p.oh * s.window.out_width + p.ow;
    const bool easy = whole.has(p) && whole.has({p.oh, p.ow + pixels - 1});  // so are all between
    t.rows = rows + begin * t.pixel_step;
    t.start_step = easy ? 0 : kBlock;
    for (int64_t first = 0; first < s.outputs; first += kBlock) {
      t.start = easy ? base + first : start;
      if (!easy) {
        block_offsets(s, p, pixels, base, first, start);
      }
      t.weight = weights + first * pairs_of(s) * 2;
      t.scale = args.scale + first;
      t.bias = args.bias + first;
      t.out = args.out + pixel * s.outputs + first;
      t.left = s.outputs - first;
      kTiles[pixels - 1](t);
    }
  }
}

void run(const ConvU8Args& args, int64_t begin, int64_t end) {
  const Window& w = args.shape.window;
  const Whole whole = whole_of(w);
  const int64_t most = columns_of(args.shape);
  const int64_t stride = row_numbers(args.shape, most) + kSlack;
  int16_t rows[kScratch];
  for (int64_t oh = begin; oh < end; ++oh) {
    for (int64_t ow = 0; ow < w.out_width; ow += most) {
      const int64_t pixels = w.out_width - ow < most ? w.out_width - ow : most;
      widen_rows(args, {oh, ow}, pixels, w.kernel_h, stride, rows);
      run_row(args, whole, {oh, ow}, pixels, stride, rows);
    }
  }
}

}  // namespace

constexpr ConvU8Kernel conv_u8_x86_avx2 = {"conv_u8_x86_avx2", Isa::kAvx2, supports, packed_bytes, pack, run};

}  // namespace reactnet
