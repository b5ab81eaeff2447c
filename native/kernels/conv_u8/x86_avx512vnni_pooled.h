// A convolution's rows as the maxima of 3x3 windows, two rows and columns apart, that nobody sees otherwise: sums of a
// tile are compared in registers, so that a fourth of the map is written and none of it read again.
//
// y = f32(acc) * scale + bias never falls as acc rises, or never rises if scale is negative, roundings included. So the
// largest y is that of the largest acc, or of the smallest: of the largest with all bits flipped. Equal maxima have the
// same bits, since y is -0 only if bias is: maps with such a bias are not pooled here.
//
// A row of the map is compared along its columns first; what that leaves is kept for the row below. Rows come in order.
//
// Included by x86_avx512vnni.cc inside its own anonymous namespace.
#ifndef REACTNET_KERNELS_CONV_U8_X86_AVX512VNNI_POOLED_H_
#define REACTNET_KERNELS_CONV_U8_X86_AVX512VNNI_POOLED_H_

#if defined(__clang__)
constexpr int kPooledTile = 8;
#else
constexpr int kPooledTile = 14;
#endif
constexpr int64_t kMaxAbove = 8192;     // numbers of a row of windows
constexpr int64_t kMaxRowsAtHand = 24;  // of the map

bool pools(const ConvU8Shape& s, const float* bias) {
  const Window& w = s.window;
  for (int64_t o = 0; o < s.outputs; ++o) {
    if (bias[o] == 0.0F && __builtin_signbit(bias[o])) {
      return false;
    }
  }
  return w.out_height % 2 == 0 && w.out_width % kPooledTile == 0 && columns_of(s) == w.out_width &&
         out_rows_of(s, w.out_width) <= kMaxRowsAtHand && w.out_width / 2 * padded_outputs(s) <= kMaxAbove;
}

// What rows of windows have in common.
struct PooledRows {
  const ConvU8Args& args;
  int64_t first;                                     // row of the map
  alignas(64) int32_t above[kMaxAbove];              // of each window, by blocks of outputs
  alignas(64) int32_t left[kMaxRowsAtHand][kBlock];  // of each row at hand, the last pixel of the tile before

  PooledRows(const ConvU8Args& a, int64_t begin) : args(a), first(begin == 0 ? 0 : 2 * begin - 1) {}
};

// Sixteen outputs.
struct PooledHalf {
  __m512i flip;  // all bits where scale is negative
  __m512 scale, bias;
  __mmask16 lanes;

  PooledHalf(const ConvU8Args& args, int64_t first) : lanes(vnni_lanes(args.shape.outputs - first)) {
    scale = _mm512_maskz_loadu_ps(lanes, args.scale + first);
    bias = _mm512_maskz_loadu_ps(lanes, args.bias + first);
    const __m512i negative = _mm512_srli_epi32(_mm512_castps_si512(scale), 31);
    flip = _mm512_sub_epi32(_mm512_setzero_si512(), negative);
  }
  void write(float* out, __m512i largest) const {
    const __m512 acc = _mm512_cvtepi32_ps(_mm512_xor_si512(largest, flip));
    _mm512_mask_storeu_ps(out, lanes, _mm512_add_ps(_mm512_mul_ps(acc, scale), bias));
  }
};

enum class PooledRow { kFirst, kMiddle, kLast };  // of a window; the last is the next one's first too

// Takes the sums of a tile, pixel by pixel.
template <PooledRow kRow>
struct PooledStore {
  PooledHalf low, high;
  int32_t* above;
  float* out;
  int64_t step;                 // floats to the next window
  __m512i left_low, left_high;  // the last pixel, and the largest of two
  __m512i two_low, two_high;

  __attribute__((always_inline)) inline void operator()(int pixel, int half, __m512i sum) {
    const PooledHalf& h = half == 0 ? low : high;
    __m512i& left = half == 0 ? left_low : left_high;
    __m512i& two = half == 0 ? two_low : two_high;
    const __m512i x = _mm512_xor_si512(sum, h.flip);
    if (pixel % 2 == 0) {
      two = _mm512_max_epi32(left, x);
      return;
    }
    const __m512i three = _mm512_max_epi32(two, x);
    left = x;
    int32_t* at = above + pixel / 2 * kBlock + half * 16;
    if (kRow == PooledRow::kMiddle) {
      _mm512_storeu_si512(at, _mm512_max_epi32(three, vnni_load(at)));
      return;
    }
    if (kRow == PooledRow::kLast) {
      h.write(out + pixel / 2 * step + half * 16, _mm512_max_epi32(three, vnni_load(at)));
    }
    _mm512_storeu_si512(at, three);
  }
};

// Sums of tiles become windows.
struct Pooled {
  PooledRows& rows;
  PooledHalf low, high;

  Pooled(PooledRows& r, int64_t first) : rows(r), low(r.args, first), high(r.args, first + 16) {}

  static int64_t tile_of(int64_t) { return kPooledTile; }

  void finish(const VnniTile& tile, int64_t, const int32_t* at, Position q, int64_t first) {
    if (q.oh == rows.first) {
      finish_row<PooledRow::kFirst>(tile, at, q, first);
    } else if (q.oh % 2 == 0) {
      finish_row<PooledRow::kMiddle>(tile, at, q, first);
    } else {
      finish_row<PooledRow::kLast>(tile, at, q, first);
    }
  }

  template <PooledRow kRow>
  void finish_row(const VnniTile& tile, const int32_t* at, Position q, int64_t first) {
    const ConvU8Shape& s = rows.args.shape;
    const int64_t width = s.window.out_width / 2;
    const int64_t place = q.oh / 2 * width + q.ow / 2;
    int32_t* left = rows.left[(q.oh - rows.first) % kMaxRowsAtHand];
    if (q.ow == 0) {
      _mm512_storeu_si512(left, _mm512_set1_epi32(INT32_MIN));
      _mm512_storeu_si512(left + 16, _mm512_set1_epi32(INT32_MIN));
    }
    PooledStore<kRow> store = {low,
                               high,
                               rows.above + (first / kBlock * width + q.ow / 2) * kBlock,
                               rows.args.out_pooled + place * s.outputs + first,
                               s.outputs,
                               vnni_load(left),
                               vnni_load(left + 16),
                               _mm512_setzero_si512(),
                               _mm512_setzero_si512()};
    vnni_sum_all<kPooledTile>(
        tile, [at](int64_t i) { return at[i]; }, store);
    _mm512_storeu_si512(left, store.left_low);
    _mm512_storeu_si512(left + 16, store.left_high);
  }
};

#endif  // REACTNET_KERNELS_CONV_U8_X86_AVX512VNNI_POOLED_H_
