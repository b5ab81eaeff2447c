// What the VNNI convolutions share: sums of fours of bytes of pixels with a block of 32 outputs of int8 weights, in
// registers, and where they go. An ISA file keeps its copy.
#ifndef REACTNET_KERNELS_X86_AVX512VNNI_SUMS_H_
#define REACTNET_KERNELS_X86_AVX512VNNI_SUMS_H_

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace reactnet {
namespace {

constexpr int64_t kVnniBlock = 32;  // outputs of two registers
#if defined(__clang__)
constexpr int kVnniTile = 12;  // pixels; clang 14 loads several ahead, and would spill
#else
constexpr int kVnniTile = 14;  // pixels: 28 sums, two registers of weights, one of pixels
#endif

// The type that GCC's own builtin has: as __m512i each sum would be moved to and fro in every round of a loop.
typedef int32_t VnniInts __attribute__((vector_size(64)));

inline __m512i vnni_load(const void* p) { return _mm512_loadu_si512(p); }

inline __m512i vnni_four(const uint8_t* p) {
  int32_t four;
  memcpy(&four, p, sizeof(four));
  return _mm512_set1_epi32(four);
}

inline VnniInts vnni_add(VnniInts sums, __m512i x, __m512i w) {
  return reinterpret_cast<VnniInts>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sums), x, w));
}

// What is to be summed.
struct VnniTile {
  const uint8_t* x;      // the first pixel
  int64_t step;          // bytes to the next one
  int64_t fours;         // of a sum
  const int8_t* weight;  // fours x 32 outputs x 4
  const int32_t* start;  // what the sums of the first pixel begin with
  int64_t start_step;    // numbers to the next pixel's; 0: all begin alike
};

// The sums of the last of kPixels pixels with 32 outputs, and of those before it. Fields, not arrays, which GCC 12
// keeps in memory.
template <int kPixels>
struct VnniSums {
  VnniSums<kPixels - 1> others;
  VnniInts low, high;

  __attribute__((always_inline)) inline void start(const VnniTile& t) {
    others.start(t);
    const int32_t* start = t.start + (kPixels - 1) * t.start_step;
    low = reinterpret_cast<VnniInts>(vnni_load(start));
    high = reinterpret_cast<VnniInts>(vnni_load(start + 16));
  }
  __attribute__((always_inline)) inline void add(const uint8_t* x, int64_t step, __m512i w0, __m512i w1) {
    others.add(x, step, w0, w1);
    const __m512i four = vnni_four(x + (kPixels - 1) * step);
    low = vnni_add(low, four, w0);
    high = vnni_add(high, four, w1);
  }
  template <class Store>
  __attribute__((always_inline)) inline void finish(Store& store) const {
    others.finish(store);
    store(kPixels - 1, 0, reinterpret_cast<__m512i>(low));
    store(kPixels - 1, 1, reinterpret_cast<__m512i>(high));
  }
};

template <>
struct VnniSums<0> {
  inline void start(const VnniTile&) {}
  inline void add(const uint8_t*, int64_t, __m512i, __m512i) {}
  template <class Store>
  inline void finish(Store&) const {}
};

// Sums of kPixels: place(i) is where four i of a pixel is, from its first byte on; store(pixel, half of the outputs,
// sums) takes them.
template <int kPixels, class Place, class Store>
inline void vnni_sum_all(const VnniTile& t, const Place& place, Store&& store) {
  VnniSums<kPixels> sums;
  sums.start(t);
  const int8_t* weight = t.weight;
  const int64_t step = t.step;
  const int64_t fours = t.fours;
  for (int64_t i = 0; i < fours; ++i, weight += kVnniBlock * 4) {
    const uint8_t* x = t.x + place(i);
    __asm__("" : "+r"(x));  // else GCC keeps a place for each pixel, most of them in memory
    sums.add(x, step, vnni_load(weight), vnni_load(weight + 64));
  }
  sums.finish(store);
}

// Of `pixels`, 1 to kMost; outputs() gives what stores them.
template <int kMost, class Place, class Outputs>
void vnni_sum(const VnniTile& t, int64_t pixels, const Place& place, const Outputs& outputs) {
  if constexpr (kMost > 1) {
    if (pixels < kMost) {
      vnni_sum<kMost - 1>(t, pixels, place, outputs);
      return;
    }
  }
  vnni_sum_all<kMost>(t, place, outputs());
}

// Of `pixels` in tiles of even sizes.
inline int64_t vnni_tile_of(int64_t pixels) {
  const int64_t tiles = (pixels + kVnniTile - 1) / kVnniTile;
  return (pixels + tiles - 1) / tiles;
}

inline __mmask16 vnni_lanes(int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xFFFFu : count <= 0 ? 0u : (1u << count) - 1u);
}

// Where the sums of a tile go: y = f32(acc) * scale + bias, or ((f32(acc) * s) * scale) + bias with s the image's
// scale.
template <bool kScaledImage>
struct VnniOutputs {
  const float* in_scale;
  const float* scale;
  const float* bias;
  float* out;
  int64_t step;         // to the next pixel
  __mmask16 low, high;  // those that exist

  auto operator()() const {
    const __m512 in = _mm512_set1_ps(kScaledImage ? *in_scale : 1.0f);
    const __m512 scale_low = _mm512_maskz_loadu_ps(low, scale);
    const __m512 scale_high = _mm512_maskz_loadu_ps(high, scale + 16);
    const __m512 bias_low = _mm512_maskz_loadu_ps(low, bias);
    const __m512 bias_high = _mm512_maskz_loadu_ps(high, bias + 16);
    return [=, lanes_low = low, lanes_high = high, to = out, pixel_step = step](int pixel, int half, __m512i sum) {
      const __m512 acc = _mm512_cvtepi32_ps(sum);
      const __m512 x = kScaledImage ? _mm512_mul_ps(acc, in) : acc;
      const __m512 y = _mm512_mul_ps(x, half == 0 ? scale_low : scale_high);
      _mm512_mask_storeu_ps(to + pixel * pixel_step + half * 16, half == 0 ? lanes_low : lanes_high,
                            _mm512_add_ps(y, half == 0 ? bias_low : bias_high));
    };
  }
};

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_X86_AVX512VNNI_SUMS_H_
