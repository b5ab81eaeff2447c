// A tile is up to six pixels of an output row against sixteen outputs: twelve sums in registers, so that the latency of
// an addition, which the law does not allow to fuse with its product, is hidden. Each sum still runs in the order of
// the law.
//
// Packed weights: blocks of 16 outputs x kh x kw x ci x 16, the last block filled up with zeros.
#include <immintrin.h>
#include <string.h>

#include "conv_f32/conv_f32.h"

namespace reactnet {
namespace {

constexpr int64_t kBlock = 16;
constexpr int64_t kTile = 6;

bool supports(const ConvF32Shape& s) { return s.groups == 1; }

int64_t block_floats(const ConvF32Shape& s) { return s.window.kernel_h * s.window.kernel_w * s.channels * kBlock; }

uint64_t packed_bytes(const ConvF32Shape& s) {
  return static_cast<uint64_t>((s.outputs + kBlock - 1) / kBlock * block_floats(s)) * sizeof(float);
}

void pack(const ConvF32Shape& s, const float* weight, void* packed) {
  const int64_t products = s.window.kernel_h * s.window.kernel_w * s.channels;
  float* out = static_cast<float*>(packed);
  memset(out, 0, packed_bytes(s));
  for (int64_t o = 0; o < s.outputs; ++o) {
    float* lane = out + o / kBlock * block_floats(s) + o % kBlock;
    for (int64_t i = 0; i < products; ++i) {
      lane[i * kBlock] = weight[o * products + i];
    }
  }
}

// Pixels of one row whose windows have the same taps inside the map.
struct Tile {
  const float* in;   // the first tap inside, of the first pixel
  int64_t step;      // floats from pixel to pixel
  int64_t row_step;  // floats from one row of the map to the next
  Taps kh, kw;
};

// The lanes of eight outputs that exist: all, or the first `count`.
__m256i lanes_of(int64_t count) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(count)), lane);
}

void store(float* out, const float* bias, __m256 sum, int64_t count) {
  if (count <= 0) {
    return;
  }
  const __m256i lanes = lanes_of(count);
  _mm256_maskstore_ps(out, lanes, bias == nullptr ? sum : _mm256_add_ps(sum, _mm256_maskload_ps(bias, lanes)));
}

template <int kPixels>
void run_tile(const ConvF32Args& args, const Tile& tile, int64_t first, float* out) {
  const ConvF32Shape& s = args.shape;
  const float* block = static_cast<const float*>(args.packed) + first / kBlock * block_floats(s);
  __m256 low[kPixels];
  __m256 high[kPixels];
  for (int m = 0; m < kPixels; ++m) {
    low[m] = high[m] = _mm256_setzero_ps();
  }
  for (int64_t kh = tile.kh.begin; kh < tile.kh.end; ++kh) {
    const float* in = tile.in + (kh - tile.kh.begin) * tile.row_step;
    const float* weight = block + (kh * s.window.kernel_w + tile.kw.begin) * s.channels * kBlock;
    const int64_t run = (tile.kw.end - tile.kw.begin) * s.channels;  // the taps of a row lie side by side
    for (int64_t i = 0; i < run; ++i, weight += kBlock) {
      const __m256 w0 = _mm256_loadu_ps(weight);
      const __m256 w1 = _mm256_loadu_ps(weight + 8);
      for (int m = 0; m < kPixels; ++m) {
        const __m256 x = _mm256_broadcast_ss(in + m * tile.step + i);
        low[m] = _mm256_add_ps(low[m], _mm256_mul_ps(x, w0));
        high[m] = _mm256_add_ps(high[m], _mm256_mul_ps(x, w1));
      }
    }
  }
  const float* bias = args.bias == nullptr ? nullptr : args.bias + first;
  const int64_t left = s.outputs - first;
  for (int m = 0; m < kPixels; ++m) {
    store(out + m * s.outputs + first, bias, low[m], left < 8 ? left : 8);
    store(out + m * s.outputs + first + 8, bias == nullptr ? nullptr : bias + 8, high[m], left - 8 < 8 ? left - 8 : 8);
  }
}

// `pixels` outputs of row oh from column ow on, all with the same taps inside.
void run_pixels(const ConvF32Args& args, int64_t oh, int64_t ow, int64_t pixels, Taps kh, Taps kw) {
  const ConvF32Shape& s = args.shape;
  const Window& w = s.window;
  const bool any = kh.begin < kh.end && kw.begin < kw.end;
  const int64_t row = oh * w.stride_h - w.padding_h + kh.begin;
  const int64_t column = ow * w.stride_w - w.padding_w + kw.begin;
  const Tile tile = {any ? args.in + (row * w.width + column) * s.channels : args.in, w.stride_w * s.channels,
                     w.width * s.channels, any ? kh : Taps{0, 0}, kw};
  using RunTile = void (*)(const ConvF32Args&, const Tile&, int64_t, float*);
  static constexpr RunTile kTiles[kTile] = {run_tile<1>, run_tile<2>, run_tile<3>,
                                            run_tile<4>, run_tile<5>, run_tile<6>};
  float* out = args.out + (oh * w.out_width + ow) * s.outputs;
  for (int64_t first = 0; first < s.outputs; first += kBlock) {
    kTiles[pixels - 1](args, tile, first, out);
  }
}

void run(const ConvF32Args& args, int64_t begin, int64_t end) {
  const Window& w = args.shape.window;
  for (int64_t oh = begin; oh < end; ++oh) {
    const Taps kh = inside_rows(w, oh);
    for (int64_t ow = 0; ow < w.out_width;) {
      const Taps kw = inside_columns(w, ow);
      const int64_t next = same_columns_end(w, ow, kTile);
      run_pixels(args, oh, ow, next - ow, kh, kw);
      ow = next;
    }
  }
}

}  // namespace

constexpr ConvF32Kernel conv_f32_x86_avx2 = {"conv_f32_x86_avx2", Isa::kAvx2, supports, packed_bytes, pack, run};

}  // namespace reactnet
