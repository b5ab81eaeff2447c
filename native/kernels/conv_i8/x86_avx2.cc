// Products in 16 bits, two at a time (vpmaddwd): 128 * 128 * 2 fits int32. Patches of a group of pixels are widened to
// 16 bits once; then each block of sixteen outputs goes over the group in tiles of six pixels, so that its weights are
// read from memory once a group.
//
// Packed weights: groups x blocks of 16 outputs x pairs of products x 16 x 2 as int16; what is past the last output of
// a group, or past the last product, is zero.
#include <immintrin.h>
#include <string.h>

#include "conv_i8/conv_i8.h"
#include "patch.h"

namespace reactnet {
namespace {

constexpr int64_t kBlock = 16;
constexpr int64_t kTile = 6;
constexpr int64_t kGroup = 24;       // pixels, if their patches fit
constexpr int64_t kScratch = 32768;  // numbers: half of a small second-level cache
constexpr int64_t kSlack = 16;       // a copy may write up to 15 numbers past its end

struct Part {  // one group of channels and outputs
  int64_t channels, outputs, blocks, products, pairs;
};

Part part_of(const ConvI8Shape& s) {
  const int64_t outputs = s.outputs / s.groups;
  const int64_t channels = s.channels / s.groups;
  const int64_t products = s.window.kernel_h * s.window.kernel_w * channels;
  return {channels, outputs, (outputs + kBlock - 1) / kBlock, products, (products + 1) / 2};
}

int64_t patch_stride(const Part& p) { return p.pairs * 2 + kSlack; }

// Small groups would leave most lanes empty.
bool supports(const ConvI8Shape& s) {
  return patch_stride(part_of(s)) * kTile <= kScratch && (s.groups == 1 || s.outputs / s.groups >= 8);
}

uint64_t packed_bytes(const ConvI8Shape& s) {
  const Part p = part_of(s);
  return static_cast<uint64_t>(s.groups * p.blocks * p.pairs * kBlock * 2) * sizeof(int16_t);
}

void pack(const ConvI8Shape& s, const int8_t* weight, void* packed) {
  const Part p = part_of(s);
  memset(packed, 0, packed_bytes(s));
  for (int64_t o = 0; o < s.outputs; ++o) {
    const int64_t in_group = o % p.outputs;
    const int64_t block = o / p.outputs * p.blocks + in_group / kBlock;
    int16_t* out = static_cast<int16_t*>(packed) + (block * p.pairs * kBlock + in_group % kBlock) * 2;
    for (int64_t i = 0; i < p.products; ++i) {
      out[i / 2 * kBlock * 2 + i % 2] = weight[o * p.products + i];
    }
  }
}

// Widens `count` bytes; reads sixteen at a time where `room` allows, and then writes up to 15 numbers too many.
void widen(int16_t* out, const int8_t* in, int64_t count, int64_t room) {
  int64_t i = 0;
  for (; i < count && i + 16 <= room; i += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), _mm256_cvtepi8_epi16(bytes));
  }
  for (; i < count; ++i) {
    out[i] = in[i];
  }
}

void gather(const ConvI8Args& args, const Part& p, int64_t group, Position at, bool whole, int16_t* patch) {
  const Window& w = args.shape.window;
  const int64_t size = w.height * w.width * args.shape.channels;
  if (!whole) {
    memset(patch, 0, static_cast<size_t>(p.products) * sizeof(int16_t));
  }
  const ChannelRange range = {args.shape.channels, group * p.channels, p.channels};
  each_run(w, at, range, [&](int64_t to, int64_t from, int64_t count) {
    widen(patch + to, args.in + from, count, size - from);
    if (!whole && to + count < p.products) {  // what was written too many may be outside, where it has to be zero
      const int64_t left = p.products - to - count;
      memset(patch + to + count, 0, static_cast<size_t>(left < kSlack ? left : kSlack) * sizeof(int16_t));
    }
  });
  patch[p.products] = 0;
}

// Eight outputs from `o` on, of which `left` exist: y = ((f32(acc) * s) * scale) + bias.
void store(const ConvI8Args& args, int64_t pixel, int64_t o, int64_t left, __m256i acc) {
  float* out = args.out + pixel * args.shape.outputs + o;
  const __m256 sum = _mm256_mul_ps(_mm256_cvtepi32_ps(acc), _mm256_broadcast_ss(args.in_scale));
  if (left >= 8) {
    const __m256 y = _mm256_mul_ps(sum, _mm256_loadu_ps(args.scale + o));
    _mm256_storeu_ps(out, _mm256_add_ps(y, _mm256_loadu_ps(args.bias + o)));
  } else if (left > 0) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i lanes = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(left)), lane);
    const __m256 y = _mm256_mul_ps(sum, _mm256_maskload_ps(args.scale + o, lanes));
    _mm256_maskstore_ps(out, lanes, _mm256_add_ps(y, _mm256_maskload_ps(args.bias + o, lanes)));
  }
}

int32_t pair_at(const int16_t* p) {
  int32_t pair;
  memcpy(&pair, p, sizeof(pair));
  return pair;
}

__m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

// Sums of kPixels patches, `stride` apart, with a block of weights; kBlock of them a pixel go to `sums`.
// The pragmas: without them g++ 12 keeps the sums in memory.
template <int kPixels>
void sum_tile(const int16_t* patches, int64_t stride, const int16_t* weight, int64_t pairs, int32_t* sums) {
  __m256i low[kPixels];
  __m256i high[kPixels];
#pragma GCC unroll 8
  for (int m = 0; m < kPixels; ++m) {
    low[m] = high[m] = _mm256_setzero_si256();
  }
  for (int64_t i = 0; i < pairs; ++i, weight += kBlock * 2) {
    const __m256i w0 = load(weight);
    const __m256i w1 = load(weight + 16);
#pragma GCC unroll 8
    for (int m = 0; m < kPixels; ++m) {
      const __m256i x = _mm256_set1_epi32(pair_at(patches + m * stride + i * 2));
      low[m] = _mm256_add_epi32(low[m], _mm256_madd_epi16(x, w0));
      high[m] = _mm256_add_epi32(high[m], _mm256_madd_epi16(x, w1));
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kPixels; ++m) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + m * kBlock), low[m]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + m * kBlock + 8), high[m]);
  }
}

void run_group(const ConvI8Args& args, const Part& p, int64_t group, int64_t index, int64_t count,
               const int16_t* patches) {
  using SumTile = void (*)(const int16_t*, int64_t, const int16_t*, int64_t, int32_t*);
  static constexpr SumTile kTiles[kTile] = {sum_tile<1>, sum_tile<2>, sum_tile<3>,
                                            sum_tile<4>, sum_tile<5>, sum_tile<6>};
  const int16_t* weights = static_cast<const int16_t*>(args.packed);
  const int64_t stride = patch_stride(p);
  int32_t sums[kTile * kBlock];
  for (int64_t block = 0; block < p.blocks; ++block) {
    const int16_t* weight = weights + (group * p.blocks + block) * p.pairs * kBlock * 2;
    const int64_t o = group * p.outputs + block * kBlock;
    const int64_t left = p.outputs - block * kBlock;
    for (int64_t begin = 0; begin < count; begin += kTile) {
      const int64_t pixels = count - begin < kTile ? count - begin : kTile;
      kTiles[pixels - 1](patches + begin * stride, stride, weight, p.pairs, sums);
      for (int64_t m = 0; m < pixels; ++m) {
        store(args, index + begin + m, o, left, load(sums + m * kBlock));
        store(args, index + begin + m, o + 8, left - 8, load(sums + m * kBlock + 8));
      }
    }
  }
}

void run(const ConvI8Args& args, int64_t begin, int64_t end) {
  const Part p = part_of(args.shape);
  const Window& w = args.shape.window;
  const Whole whole = whole_of(w);
  const int64_t last = end * w.out_width;
  const int64_t fit = kScratch / patch_stride(p) / kTile * kTile;
  const int64_t most = fit < kGroup ? fit : kGroup;
  int16_t patches[kScratch];
  for (int64_t index = begin * w.out_width; index < last; index += most) {
    const int64_t count = last - index < most ? last - index : most;
    for (int64_t group = 0; group < args.shape.groups; ++group) {
      Position at = position_at(w, index);
      for (int64_t m = 0; m < count; ++m, at = next_position(w, at)) {
        gather(args, p, group, at, whole.has(at), patches + m * patch_stride(p));
      }
      run_group(args, p, group, index, count, patches);
    }
  }
}

}  // namespace

constexpr ConvI8Kernel conv_i8_x86_avx2 = {"conv_i8_x86_avx2", Isa::kAvx2, supports, packed_bytes, pack, run};

}  // namespace reactnet
