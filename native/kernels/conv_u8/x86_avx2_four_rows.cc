// Windows of seven rows with a stride of two, four rows of outputs at once, with half of the products that the sums
// have (Toom and Cook's filters, known as Winograd's), exactly, since all is done in integers.
//
// Even rows of the window are a filter g of four numbers, odd rows one of three, each of which makes four outputs of
// the even or odd rows x of the map: y[r] = sum over k of g[k] * x[r + k], 28 products in all. With points a, one of
// them infinite, and P_a(t) = product of (t - b) over the finite points b but a,
//   y[r] = sum over a of a^r * (sum over k of a^k * g[k]) / P_a(a) * (sum over j of x[j] * P_a's coefficient of t^j)
// where infinity takes the product over all finite points, the last of g, and has a share in the last y alone. Seven
// points do for a filter of four and six for three: 13 products. Columns and channels are summed at each point before
// points are added up, so what is done before and after the products costs little.
//
// 120 / P_a(a) are integers, so 120 * y comes out, which is divided exactly: by 15 through its inverse modulo 2^32,
// where sums may wrap as they like, and by 8. All factors fit int16: at most 120 * 128 of g, 21 * 255 of x.
//
// Packed: sums of offsets; then blocks of 16 outputs, each: for six points and each number of a window's row 16 x 2
// numbers, for even and odd rows; for the seventh, of even rows alone, 16 x 2 for every two numbers of a row.
#include "conv_u8/x86_avx2_rows.h"

namespace reactnet {
namespace {

constexpr int64_t kTile = 6;
constexpr int64_t kRows = 4;               // of outputs
constexpr int64_t kReads = 2 * kRows + 5;  // rows of the map that they read
constexpr int64_t kNumbers = 1024;         // of a row of the map
constexpr int kFinite[] = {0, 1, -1, 2, -2, 3};
constexpr int kEvenPoints = 6;  // finite ones, of the filter of four
constexpr int kOddPoints = 5;   // of the filter of three
constexpr int kAll = -1;        // the product without leaving a point out
constexpr int kShared = 6;      // points of both filters: five finite ones, and infinity
constexpr int kMultiple = 120;

struct Polynomial {
  int at[kEvenPoints + 1];

  constexpr int operator()(int t) const {
    int y = 0;
    for (int k = kEvenPoints; k >= 0; --k) {
      y = y * t + at[k];
    }
    return y;
  }
};

// The product of (t - b) over the first `points` finite points but one.
constexpr Polynomial product(int points, int without) {
  Polynomial p = {{1}};
  for (int i = 0; i < points; ++i) {
    if (i != without) {
      for (int k = kEvenPoints; k > 0; --k) {
        p.at[k] = p.at[k - 1] - kFinite[i] * p.at[k];
      }
      p.at[0] *= -kFinite[i];
    }
  }
  return p;
}

// What a finite point makes of a filter: kMultiple / P_a(a) * sum over k of a^k * filter[k].
struct Factor {
  int a, whole;
};

constexpr Factor factor_at(int points, int point) {
  return {kFinite[point], kMultiple / product(points, point)(kFinite[point])};
}

constexpr bool are_integers(int points) {
  bool good = true;
  for (int point = 0; point < points; ++point) {
    good = good && kMultiple % product(points, point)(kFinite[point]) == 0;
  }
  return good;
}
static_assert(are_integers(kEvenPoints) && are_integers(kOddPoints), "120 times the factors are integers");

int16_t times(Factor factor, const int8_t* const* filter, int count, int64_t column) {
  int sum = 0;
  for (int k = count - 1; k >= 0; --k) {
    sum = sum * factor.a + filter[k][column];
  }
  return static_cast<int16_t>(factor.whole * sum);
}

int64_t row_of(const ConvU8Shape& s) { return row_numbers(s, 1); }
int64_t even_pairs(const ConvU8Shape& s) { return (row_of(s) + 1) / 2; }
int64_t pairs_of(const ConvU8Shape& s) { return kShared * row_of(s) + even_pairs(s); }

// The last: 8 * y must fit int32.
bool supports(const ConvU8Shape& s) {
  return s.window.kernel_h == 7 && s.window.stride_h == 2 && s.weight_bits == 8 && row_of(s) + kSlack <= kNumbers &&
         8 * 255 * 128 * s.window.kernel_h * row_of(s) < INT32_MAX;
}

// Outputs of a row that are taken at once: all, or whole tiles that fit.
int64_t columns_of(const ConvU8Shape& s) {
  const Window& w = s.window;
  const int64_t most = ((kNumbers - kSlack) / s.channels - w.kernel_w) / w.stride_w + 1;
  return w.out_width <= most ? w.out_width : most < kTile ? most : most / kTile * kTile;
}

uint64_t packed_bytes(const ConvU8Shape& s) {
  return static_cast<uint64_t>(4 * offset_numbers(s, padded_outputs(s)) + 4 * pairs_of(s) * padded_outputs(s));
}

void pack(const ConvU8Shape& s, const void* weight, const int32_t* offset, void* packed) {
  memset(packed, 0, packed_bytes(s));
  pack_offsets(s, offset, padded_outputs(s), packed);
  const int64_t row = row_of(s);
  int16_t* weights = reinterpret_cast<int16_t*>(static_cast<uint32_t*>(packed) + offset_numbers(s, padded_outputs(s)));
  for (int64_t o = 0; o < s.outputs; ++o) {
    const int8_t* from = static_cast<const int8_t*>(weight) + o * s.window.kernel_h * row;
    const int8_t* const even[] = {from, from + 2 * row, from + 4 * row, from + 6 * row};
    const int8_t* const odd[] = {from + row, from + 3 * row, from + 5 * row};
    int16_t* block = weights + (o / kBlock * pairs_of(s) * kBlock + o % kBlock) * 2;
    for (int point = 0; point < kOddPoints; ++point) {
      const Factor even_factor = factor_at(kEvenPoints, point);
      const Factor odd_factor = factor_at(kOddPoints, point);
      for (int64_t i = 0; i < row; ++i, block += kBlock * 2) {
        block[0] = times(even_factor, even, 4, i);
        block[1] = times(odd_factor, odd, 3, i);
      }
    }
    for (int64_t i = 0; i < row; ++i, block += kBlock * 2) {  // infinity
      block[0] = static_cast<int16_t>(kMultiple * even[3][i]);
      block[1] = static_cast<int16_t>(kMultiple * odd[2][i]);
    }
    const Factor last = factor_at(kEvenPoints, kOddPoints);
    for (int64_t i = 0; i < row; ++i) {
      block[i / 2 * kBlock * 2 + i % 2] = times(last, even, 4, i);
    }
  }
}

// What the points make of rows of the map. For the shared ones even and odd rows in turns.
struct Transformed {
  int16_t shared[kShared][2 * kNumbers];
  int16_t even[kNumbers];
};

template <int kPoints, int kWithout>
__m256i combine(const __m256i* x) {
  constexpr Polynomial p = product(kPoints, kWithout);
  __m256i sum = _mm256_setzero_si256();
#pragma GCC unroll 8
  for (int k = 0; k <= kPoints; ++k) {
    sum = _mm256_add_epi16(sum, _mm256_mullo_epi16(x[k], _mm256_set1_epi16(static_cast<int16_t>(p.at[k]))));
  }
  return sum;
}

template <int kPoint>
void put(int16_t* out, const __m256i* even, const __m256i* odd) {
  const __m256i e = combine<kEvenPoints, kPoint>(even);
  const __m256i o = combine<kOddPoints, kPoint>(odd);
  const __m256i low = _mm256_unpacklo_epi16(e, o);
  const __m256i high = _mm256_unpackhi_epi16(e, o);
  store(out, _mm256_permute2x128_si256(low, high, 0x20));
  store(out + 16, _mm256_permute2x128_si256(low, high, 0x31));
}

// `numbers` of each of the rows, kNumbers apart, a multiple of 16.
void transform(const int16_t* rows, int64_t numbers, Transformed* out) {
  for (int64_t n = 0; n < numbers; n += 16, rows += 16) {
    __m256i even[kEvenPoints + 1];
    __m256i odd[kOddPoints + 1];
#pragma GCC unroll 8
    for (int k = 0; k <= kEvenPoints; ++k) {
      even[k] = load(rows + 2 * k * kNumbers);
    }
#pragma GCC unroll 8
    for (int k = 0; k <= kOddPoints; ++k) {
      odd[k] = load(rows + (2 * k + 1) * kNumbers);
    }
    put<0>(out->shared[0] + 2 * n, even, odd);
    put<1>(out->shared[1] + 2 * n, even, odd);
    put<2>(out->shared[2] + 2 * n, even, odd);
    put<3>(out->shared[3] + 2 * n, even, odd);
    put<4>(out->shared[4] + 2 * n, even, odd);
    put<kAll>(out->shared[5] + 2 * n, even, odd);
    store(out->even + n, combine<kEvenPoints, kOddPoints>(even));
  }
}

// Sums of one point, of a block of outputs of kPixels pixels. The pragmas: see x86_avx2.cc.
template <int kPixels>
const int16_t* sums_at(const int16_t* x, int64_t pixel_step, int64_t pairs, const int16_t* weight, int32_t* out) {
  __m256i low[kPixels];
  __m256i high[kPixels];
#pragma GCC unroll 8
  for (int m = 0; m < kPixels; ++m) {
    low[m] = _mm256_setzero_si256();
    high[m] = _mm256_setzero_si256();
  }
  for (int64_t i = 0; i < pairs; ++i, x += 2, weight += kBlock * 2) {
    const __m256i w0 = load(weight);
    const __m256i w1 = load(weight + 16);
#pragma GCC unroll 8
    for (int m = 0; m < kPixels; ++m) {
      const __m256i pair = pair_at(x + m * pixel_step);
      low[m] = _mm256_add_epi32(low[m], _mm256_madd_epi16(pair, w0));
      high[m] = _mm256_add_epi32(high[m], _mm256_madd_epi16(pair, w1));
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kPixels; ++m) {
    store(out + m * kBlock, low[m]);
    store(out + m * kBlock + 8, high[m]);
  }
  return weight;
}

// y of a sum that is kMultiple * y, modulo 2^32.
__m256i divided(__m256i sum) {
  return _mm256_srai_epi32(_mm256_mullo_epi32(sum, _mm256_set1_epi32(static_cast<int32_t>(0xEEEEEEEF))), 3);
}

// Four rows of eight outputs of a pixel from its points' sums, `step` apart: 0, 1, -1, 2, -2, infinity, 3.
void four_rows(const int32_t* sums, int64_t step, __m256i* y) {
  const __m256i one = load(sums + step);
  const __m256i minus_one = load(sums + 2 * step);
  const __m256i two = load(sums + 3 * step);
  const __m256i minus_two = load(sums + 4 * step);
  const __m256i three = load(sums + 6 * step);
  const __m256i ones = _mm256_add_epi32(one, minus_one);
  const __m256i ones_apart = _mm256_sub_epi32(one, minus_one);
  const __m256i twos = _mm256_add_epi32(two, minus_two);
  const __m256i twos_apart = _mm256_sub_epi32(two, minus_two);
  const __m256i nine = _mm256_add_epi32(_mm256_slli_epi32(three, 3), three);
  const __m256i odd = _mm256_add_epi32(_mm256_slli_epi32(three, 1), three);
  const __m256i odd_nine = _mm256_add_epi32(_mm256_slli_epi32(nine, 1), nine);
  const __m256i ends = _mm256_add_epi32(load(sums), three);
  y[0] = divided(_mm256_add_epi32(ends, _mm256_add_epi32(ones, twos)));
  y[1] = divided(_mm256_add_epi32(_mm256_add_epi32(odd, ones_apart), _mm256_slli_epi32(twos_apart, 1)));
  y[2] = divided(_mm256_add_epi32(_mm256_add_epi32(nine, ones), _mm256_slli_epi32(twos, 2)));
  const __m256i last = _mm256_add_epi32(odd_nine, load(sums + 5 * step));
  y[3] = divided(_mm256_add_epi32(_mm256_add_epi32(last, ones_apart), _mm256_slli_epi32(twos_apart, 3)));
}

// What a tile needs. `start`: what sums begin with, steps from pixel to pixel and from row to row of the outputs.
struct Tile {
  const Transformed* rows;
  int64_t first;       // number of a row where the first pixel's window begins
  int64_t pixel_step;  // numbers from pixel to pixel
  int64_t row;         // numbers of a window's row
  const int16_t* weight;
  const int32_t* start;
  int64_t start_pixel, start_row;
  int64_t pixels;
  int64_t out_rows;
  const float* scale;
  const float* bias;
  float* out;
  int64_t out_pixel, out_row;  // from pixel to pixel, from row to row
  int64_t left;                // outputs from the block's first on
};

template <int kPixels>
void run_points(const Tile& t, int32_t* sums) {
  const int16_t* weight = t.weight;
  for (int point = 0; point < kShared; ++point, sums += kTile * kBlock) {
    weight = sums_at<kPixels>(t.rows->shared[point] + 2 * t.first, 2 * t.pixel_step, t.row, weight, sums);
  }
  sums_at<kPixels>(t.rows->even + t.first, t.pixel_step, (t.row + 1) / 2, weight, sums);
}

// Eight outputs from `i` on of each pixel, all there.
void finish_eight(const Tile& t, const int32_t* sums, int64_t i) {
  const __m256 scale = _mm256_loadu_ps(t.scale + i);
  const __m256 bias = _mm256_loadu_ps(t.bias + i);
  const int32_t* start = t.start + i;
  float* out = t.out + i;
  const int64_t start_row = t.start_row;
  const int64_t out_row = t.out_row;
  for (int64_t m = 0; m < t.pixels; ++m, sums += kBlock, start += t.start_pixel, out += t.out_pixel) {
    __m256i y[kRows];
    four_rows(sums + i, kTile * kBlock, y);
#pragma GCC unroll 4
    for (int64_t r = 0; r < kRows; ++r) {
      const __m256i acc = _mm256_add_epi32(y[r], load(start + r * start_row));
      _mm256_storeu_ps(out + r * out_row, finish(acc, scale, bias));
    }
  }
}

// The same where outputs or rows end.
void finish_some(const Tile& t, const int32_t* sums, int64_t i) {
  for (int64_t m = 0; m < t.pixels; ++m, sums += kBlock) {
    __m256i y[kRows];
    four_rows(sums + i, kTile * kBlock, y);
    for (int64_t r = 0; r < t.out_rows; ++r) {
      const __m256i acc = _mm256_add_epi32(y[r], load(t.start + m * t.start_pixel + r * t.start_row + i));
      store_some(t.scale + i, t.bias + i, t.out + m * t.out_pixel + r * t.out_row + i, t.left - i, acc);
    }
  }
}

void run_tile(const Tile& t) {
  using RunPoints = void (*)(const Tile&, int32_t*);
  static constexpr RunPoints kPoints[kTile] = {run_points<1>, run_points<2>, run_points<3>,
                                               run_points<4>, run_points<5>, run_points<6>};
  alignas(32) int32_t sums[(kShared + 1) * kTile * kBlock];
  kPoints[t.pixels - 1](t, sums);
  for (int64_t i = 0; i < kBlock; i += 8) {
    const bool all = t.out_rows == kRows && t.left - i >= 8;
    (all ? finish_eight : finish_some)(t, sums, i);
  }
}

// Where a tile's sums begin, from `p` on.
void set_start(const ConvU8Args& args, const Whole& whole, Position p, int64_t first, int32_t* start, Tile& t) {
  const int32_t* base = static_cast<const int32_t*>(args.packed);
  const Position last = {p.oh + t.out_rows - 1, p.ow + t.pixels - 1};
  const bool rows = p.oh >= whole.rows.begin && last.oh < whole.rows.end;
  const bool columns = p.ow >= whole.columns.begin && last.ow < whole.columns.end;
  t.start = rows && columns ? base + first : start;
  t.start_pixel = columns ? 0 : kBlock;
  t.start_row = rows ? 0 : kTile * kBlock;
  for (int64_t r = 0; r < (!rows ? t.out_rows : columns ? 0 : 1); ++r) {
    block_offsets(args.shape, {p.oh + r, p.ow}, columns ? 1 : t.pixels, base, first, start + r * kTile * kBlock);
  }
}

// A block of outputs of `count` pixels of `t.out_rows` rows, the first of which is at `p`.
void run_block(const ConvU8Args& args, const Whole& whole, Position p, int64_t count, int64_t first, Tile t) {
  const ConvU8Shape& s = args.shape;
  int32_t start[kRows * kTile * kBlock];
  t.weight =
      static_cast<const int16_t*>(args.packed) + 2 * offset_numbers(s, padded_outputs(s)) + first * pairs_of(s) * 2;
  t.scale = args.scale + first;
  t.bias = args.bias + first;
  t.left = s.outputs - first;
  for (int64_t begin = 0; begin < count; begin += kTile, p.ow += kTile) {
    t.pixels = count - begin < kTile ? count - begin : kTile;
    set_start(args, whole, p, first, start, t);
    t.first = begin * t.pixel_step;
    t.out = args.out + (p.oh * s.window.out_width + p.ow) * s.outputs + first;
    run_tile(t);
  }
}

void run(const ConvU8Args& args, int64_t begin, int64_t end) {
  const ConvU8Shape& s = args.shape;
  const Window& w = s.window;
  const Whole whole = whole_of(w);
  const int64_t most = columns_of(s);
  alignas(32) int16_t rows[kReads * kNumbers];
  Transformed transformed;
  Tile t = {};
  t.rows = &transformed;
  t.pixel_step = w.stride_w * s.channels;
  t.row = row_of(s);
  t.out_pixel = s.outputs;
  t.out_row = w.out_width * s.outputs;
  for (int64_t oh = begin; oh < end; oh += kRows) {
    t.out_rows = end - oh < kRows ? end - oh : kRows;
    for (int64_t ow = 0; ow < w.out_width; ow += most) {
      const int64_t pixels = w.out_width - ow < most ? w.out_width - ow : most;
      widen_rows(args, {oh, ow}, pixels, kReads, kNumbers, rows);
      transform(rows, (row_numbers(s, pixels) + kSlack) / 16 * 16, &transformed);
      for (int64_t first = 0; first < s.outputs; first += kBlock) {
        run_block(args, whole, {oh, ow}, pixels, first, t);
      }
    }
  }
}

}  // namespace

constexpr ConvU8Kernel conv_u8_x86_avx2_four_rows = {
    "conv_u8_x86_avx2_four_rows", Isa::kAvx2, supports, packed_bytes, pack, run};

}  // namespace reactnet
