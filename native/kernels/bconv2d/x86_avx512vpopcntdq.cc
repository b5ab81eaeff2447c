// AVX-512 has a vector popcount. A register holds one word of 64 channels of eight outputs; the activation word of a
// pixel is broadcast against it, so there is no sum across lanes: three instructions (xor, popcnt, add) count 512
// products. A tile is kTile pixels of a row against two registers of outputs, its counts stay in registers.
//
// Packed weights: blocks of 16 outputs x kh x kw x words x 16 u64; outputs past the last are zeros.
#include <immintrin.h>
#include <string.h>

#include "bconv2d/bconv2d.h"

namespace reactnet {
namespace {

constexpr int64_t kBlock = 16;        // outputs of two registers
constexpr int64_t kTileOutputs = 64;  // a word of bits
constexpr int64_t kTile = 8;          // pixels: 16 sums in registers
constexpr int64_t kMaxWords = 1024;   // of a pixel: 65,536 channels

int64_t words_of(int64_t channels) { return (channels + 63) / 64; }

bool supports(const BConv2dShape& s) { return s.groups == 1 && words_of(s.channels) <= kMaxWords; }

int64_t block_words(const BConv2dShape& s) {
  return s.window.kernel_h * s.window.kernel_w * words_of(s.channels) * kBlock;
}

uint64_t packed_bytes(const BConv2dShape& s) {
  return static_cast<uint64_t>((s.outputs + kBlock - 1) / kBlock * block_words(s)) * 8;
}

void pack(const BConv2dShape& s, const uint64_t* weight, void* packed) {
  const int64_t row = s.window.kernel_h * s.window.kernel_w * words_of(s.channels);
  uint64_t* out = static_cast<uint64_t*>(packed);
  memset(out, 0, packed_bytes(s));
  for (int64_t o = 0; o < s.outputs; ++o) {
    uint64_t* lane = out + o / kBlock * block_words(s) + o % kBlock;
    for (int64_t i = 0; i < row; ++i) {
      lane[i * kBlock] = weight[o * row + i];
    }
  }
}

// Where the taps of a tile begin: pixel m of the tile is m * step words further.
struct Tile {
  const uint64_t* in;  // the first tap inside, of the first pixel
  int64_t step;        // words from pixel to pixel
  int64_t row_step;    // words from one row of the map to the next
  Taps kh, kw;         // inside the map, the same for each pixel of the tile
};

__m512i load(const uint64_t* p) { return _mm512_loadu_si512(p); }

__m512i add_differing(__m512i sum, __m512i bits, __m512i weight) {
  return _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_xor_si512(bits, weight)));
}

// Differing bits of kPixels pixels with a block of outputs; the counts of pixel m go to counts + m * kTileOutputs.
template <int kPixels>
void count_tile(const BConv2dShape& s, const Tile& tile, const uint64_t* block, int32_t* counts) {
  const int64_t words = words_of(s.channels);
  __m512i low[kPixels] = {};
  __m512i high[kPixels] = {};
  for (int64_t kh = tile.kh.begin; kh < tile.kh.end; ++kh) {
    const uint64_t* in = tile.in + (kh - tile.kh.begin) * tile.row_step;
    const uint64_t* weight = block + (kh * s.window.kernel_w + tile.kw.begin) * words * kBlock;
    const int64_t run = (tile.kw.end - tile.kw.begin) * words;  // the taps of a row lie side by side
    for (int64_t i = 0; i < run; ++i, weight += kBlock) {
      const __m512i first = load(weight);
      const __m512i second = load(weight + 8);
      for (int m = 0; m < kPixels; ++m) {
        const __m512i bits = _mm512_set1_epi64(static_cast<int64_t>(in[m * tile.step + i]));
        low[m] = add_differing(low[m], bits, first);
        high[m] = add_differing(high[m], bits, second);
      }
    }
  }
  for (int m = 0; m < kPixels; ++m) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(counts + m * kTileOutputs), _mm512_cvtepi64_epi32(low[m]));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(counts + m * kTileOutputs + 8), _mm512_cvtepi64_epi32(high[m]));
  }
}

// Taps outside count as the padding: adds those of one pixel to its counts.
void count_outside(const BConv2dArgs& args, Taps kh, Taps kw, const uint64_t* block, int32_t* counts) {
  const BConv2dShape& s = args.shape;
  const int64_t words = words_of(s.channels);
  const uint64_t tail = s.channels % 64 == 0 ? ~uint64_t{0} : (uint64_t{1} << (s.channels % 64)) - 1;
  __m512i low = _mm512_setzero_si512();
  __m512i high = _mm512_setzero_si512();
  for (int64_t tap = 0; tap < s.window.kernel_h * s.window.kernel_w; ++tap) {
    const int64_t row = tap / s.window.kernel_w;
    const int64_t column = tap % s.window.kernel_w;
    if (row >= kh.begin && row < kh.end && column >= kw.begin && column < kw.end) {
      continue;
    }
    for (int64_t i = 0; i < words; ++i) {
      const uint64_t bits = s.padding_value == 1 ? (i + 1 == words ? tail : ~uint64_t{0}) : 0;
      const uint64_t* weight = block + (tap * words + i) * kBlock;
      low = add_differing(low, _mm512_set1_epi64(static_cast<int64_t>(bits)), load(weight));
      high = add_differing(high, _mm512_set1_epi64(static_cast<int64_t>(bits)), load(weight + 8));
    }
  }
  int32_t extra[kBlock];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(extra), _mm512_cvtepi64_epi32(low));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(extra + 8), _mm512_cvtepi64_epi32(high));
  for (int64_t i = 0; i < kBlock; ++i) {
    counts[i] += extra[i];
  }
}

// Sixteen shortcut channels from `first` on, which start again at zero behind the last; `lanes` of them are wanted.
__m512 load_shortcut(const BConv2dArgs& args, const float* pixel, int64_t first, int64_t count, __mmask16 lanes) {
  const int64_t channels = args.shortcut_channels;
  int64_t c = first % channels;
  if (c + count <= channels) {
    return _mm512_maskz_loadu_ps(lanes, pixel + c);
  }
  float v[16] = {};
  for (int64_t i = 0; i < count; ++i) {
    v[i] = pixel[c];
    c = c + 1 == channels ? 0 : c + 1;
  }
  return _mm512_loadu_ps(v);
}

// Outputs o to o + count - 1 (at most 16) of a pixel from their sums; returns their bits.
uint64_t finish_lanes(const BConv2dArgs& args, int64_t pixel, int64_t o, int64_t count, __m512i acc) {
  const __mmask16 lanes = static_cast<__mmask16>((1u << count) - 1u);
  const __m512 zero = _mm512_setzero_ps();
  __m512 y = _mm512_cvtepi32_ps(acc);
  if (args.scale != nullptr) {
    y = _mm512_mul_ps(y, _mm512_maskz_loadu_ps(lanes, args.scale + o));
    y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, args.shift + o));
  }
  if (args.shortcut != nullptr) {
    y = _mm512_add_ps(y, load_shortcut(args, args.shortcut + pixel * args.shortcut_channels, o, count, lanes));
  }
  if (args.slope != nullptr) {
    const __m512 negative = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, args.slope + o), y);
    y = _mm512_mask_blend_ps(_mm512_cmp_ps_mask(y, zero, _CMP_GE_OQ), negative, y);
  }
  if (args.shift_out != nullptr) {
    y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, args.shift_out + o));
  }
  if (args.out_real != nullptr) {
    _mm512_mask_storeu_ps(args.out_real + pixel * args.shape.outputs + o, lanes, y);
  }
  if (args.out_bits == nullptr) {
    return 0;
  }
  const __m512 next = _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, args.next_shift + o));
  return static_cast<uint64_t>(_mm512_cmp_ps_mask(next, zero, _CMP_GE_OQ) & lanes);
}

void finish_pixel(const BConv2dArgs& args, int64_t pixel, int64_t first, int64_t taps, const int32_t* counts) {
  const int64_t left = args.shape.outputs - first;
  const int64_t count = left < kTileOutputs ? left : kTileOutputs;
  const __m512i base = _mm512_set1_epi32(static_cast<int32_t>(taps * args.shape.channels));
  uint64_t word = 0;
  for (int64_t i = 0; i < count; i += kBlock) {
    const __m512i acc = _mm512_sub_epi32(base, _mm512_slli_epi32(_mm512_loadu_si512(counts + i), 1));
    word |= finish_lanes(args, pixel, first + i, count - i < kBlock ? count - i : kBlock, acc) << i;
  }
  if (args.out_bits != nullptr) {
    args.out_bits[pixel * words_of(args.shape.outputs) + first / 64] = word;
  }
}

void count_pixels(const BConv2dShape& s, const Tile& tile, int64_t pixels, const uint64_t* block, int32_t* counts) {
  for (int64_t m = 0; m < pixels;) {
    Tile rest = tile;
    rest.in += m * tile.step;
    int32_t* out = counts + m * kTileOutputs;
    if (pixels - m >= 8) {
      count_tile<8>(s, rest, block, out);
      m += 8;
    } else if (pixels - m >= 4) {
      count_tile<4>(s, rest, block, out);
      m += 4;
    } else if (pixels - m >= 2) {
      count_tile<2>(s, rest, block, out);
      m += 2;
    } else {
      count_tile<1>(s, rest, block, out);
      m += 1;
    }
  }
}

// `pixels` outputs of row oh from column ow on, all with the same taps inside.
void run_tile(const BConv2dArgs& args, int64_t oh, int64_t ow, int64_t pixels, Taps kh, Taps kw) {
  const BConv2dShape& s = args.shape;
  const Window& w = s.window;
  const int64_t words = words_of(s.channels);
  const int64_t row = oh * w.stride_h - w.padding_h + kh.begin;
  const int64_t column = ow * w.stride_w - w.padding_w + kw.begin;
  const bool any = kh.begin < kh.end && kw.begin < kw.end;
  const Tile tile = {any ? args.in + (row * w.width + column) * words : args.in, w.stride_w * words, w.width * words,
                     any ? kh : Taps{0, 0}, kw};
  const int64_t inside = (kh.end - kh.begin) * (kw.end - kw.begin);
  const int64_t taps = s.padding_value == 0 ? inside : w.kernel_h * w.kernel_w;
  int32_t counts[kTile * kTileOutputs];
  for (int64_t first = 0; first < s.outputs; first += kTileOutputs) {
    for (int64_t o = first; o < s.outputs && o < first + kTileOutputs; o += kBlock) {
      const uint64_t* block = static_cast<const uint64_t*>(args.packed) + o / kBlock * block_words(s);
      count_pixels(s, tile, pixels, block, counts + (o - first));
      for (int64_t m = 0; taps != inside && m < pixels; ++m) {
        count_outside(args, kh, kw, block, counts + m * kTileOutputs + (o - first));
      }
    }
    for (int64_t m = 0; m < pixels; ++m) {
      finish_pixel(args, oh * w.out_width + ow + m, first, taps, counts + m * kTileOutputs);
    }
  }
}

void run(const BConv2dArgs& args, int64_t begin, int64_t end) {
  const Window& w = args.shape.window;
  for (int64_t oh = begin; oh < end; ++oh) {
    const Taps kh = inside_rows(w, oh);
    for (int64_t ow = 0; ow < w.out_width;) {
      const Taps kw = inside_columns(w, ow);
      const int64_t next = same_columns_end(w, ow, kTile);
      run_tile(args, oh, ow, next - ow, kh, kw);
      ow = next;
    }
  }
}

uint64_t scratch_bytes(const BConv2dShape&) { return 0; }

}  // namespace

constexpr BConv2dKernel bconv2d_x86_avx512vpopcntdq = {
    "bconv2d_x86_avx512vpopcntdq", Isa::kAvx512, supports, packed_bytes, pack, scratch_bytes, run};

}  // namespace reactnet
