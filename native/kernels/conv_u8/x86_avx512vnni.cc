// vpdpbusd multiplies four unsigned bytes by four signed ones and adds all to an int32, without saturation: pixels by
// weights of 8 bits, as they are. A tile is up to eight pixels against 32 outputs: sixteen sums in registers.
//
// Packed: minus the sum of an output's offsets; the offsets by tap; then weights as int8, blocks of 32 outputs x fours
// of products x 32 x 4. Everything past the last output or product is zero.
#include <immintrin.h>
#include <string.h>

#include "conv_u8/conv_u8.h"
#include "patch.h"
#include "x86_avx512vnni_tile.h"

namespace reactnet {
namespace {

constexpr int64_t kBlock = kVnniBlock;
constexpr int64_t kTile = kVnniTile;
constexpr int64_t kMaxPatch = 1024;  // products of a sum
constexpr int64_t kStride = kMaxPatch + 64;

int64_t taps_of(const ConvU8Shape& s) { return s.window.kernel_h * s.window.kernel_w; }
int64_t fours_of(const ConvU8Shape& s) { return (taps_of(s) * s.channels + 3) / 4; }
int64_t padded_outputs(const ConvU8Shape& s) { return (s.outputs + kBlock - 1) / kBlock * kBlock; }

bool supports(const ConvU8Shape& s) { return s.weight_bits == 8 && taps_of(s) * s.channels <= kMaxPatch; }

uint64_t packed_bytes(const ConvU8Shape& s) {
  return static_cast<uint64_t>(padded_outputs(s) * 4 * (1 + taps_of(s) + fours_of(s)));
}

void pack(const ConvU8Shape& s, const void* weight, const int32_t* offset, void* packed) {
  memset(packed, 0, packed_bytes(s));
  const int64_t taps = taps_of(s);
  const int64_t products = taps * s.channels;
  int32_t* base = static_cast<int32_t*>(packed);
  int32_t* by_tap = base + padded_outputs(s);
  int8_t* weights = reinterpret_cast<int8_t*>(by_tap + taps * padded_outputs(s));
  for (int64_t o = 0; o < s.outputs; ++o) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      base[o] -= offset[o * taps + tap];
      by_tap[tap * padded_outputs(s) + o] = offset[o * taps + tap];
    }
    int8_t* block = weights + (o / kBlock * fours_of(s) * kBlock + o % kBlock) * 4;
    for (int64_t i = 0; i < products; ++i) {
      block[i / 4 * kBlock * 4 + i % 4] = static_cast<const int8_t*>(weight)[o * products + i];
    }
  }
}

// Copies 1 to 64 bytes at a time; touches no others.
void copy_bytes(uint8_t* out, const uint8_t* in, int64_t count) {
  for (int64_t i = 0; i < count; i += 64) {
    const __mmask64 lanes = count - i >= 64 ? ~__mmask64{0} : (__mmask64{1} << (count - i)) - 1;
    _mm512_mask_storeu_epi8(out + i, lanes, _mm512_maskz_loadu_epi8(lanes, in + i));
  }
}

void gather(const ConvU8Args& args, Position p, bool whole, uint8_t* patch) {
  const Window& w = args.shape.window;
  const int64_t channels = args.shape.channels;
  if (whole) {
    const int64_t row = w.kernel_w * channels;
    const uint8_t* in = args.in + patch_begin(w, p, channels);
    for (int64_t kh = 0; kh < w.kernel_h; ++kh) {
      copy_bytes(patch + kh * row, in + kh * w.width * channels, row);
    }
    return;
  }
  memset(patch, 0, static_cast<size_t>(taps_of(args.shape) * channels));
  each_run(w, p, {channels, 0, channels},
           [&](int64_t at, int64_t from, int64_t count) { copy_bytes(patch + at, args.in + from, count); });
}

// Takes back the offsets of the taps that fall outside: the sum begins at minus those of all.
__m512i add_outside(const ConvU8Shape& s, Position p, const int32_t* by_tap, __m512i acc) {
  const Taps rows = inside_rows(s.window, p.oh);
  const Taps columns = inside_columns(s.window, p.ow);
  for (int64_t row = 0; row < s.window.kernel_h; ++row) {
    const bool inside = row >= rows.begin && row < rows.end;
    for (int64_t column = 0; column < s.window.kernel_w; ++column, by_tap += padded_outputs(s)) {
      if (!inside || column < columns.begin || column >= columns.end) {
        acc = _mm512_add_epi32(acc, vnni_load(by_tap));
      }
    }
  }
  return acc;
}

// Sixteen outputs from `o` on: y = f32(acc) * scale + bias.
void store(const ConvU8Args& args, int64_t pixel, int64_t o, __m512i acc) {
  const int64_t left = args.shape.outputs - o;
  if (left <= 0) {
    return;
  }
  const __mmask16 lanes = left >= 16 ? static_cast<__mmask16>(0xFFFF) : static_cast<__mmask16>((1u << left) - 1u);
  const __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(acc), _mm512_maskz_loadu_ps(lanes, args.scale + o));
  _mm512_mask_storeu_ps(args.out + pixel * args.shape.outputs + o, lanes,
                        _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, args.bias + o)));
}

// `at`: where each of `count` pixels is. `border`: the bit of each that has taps outside.
void run_tile(const ConvU8Args& args, const uint8_t* patches, const Position* at, int64_t count, unsigned border) {
  const ConvU8Shape& s = args.shape;
  const int32_t* base = static_cast<const int32_t*>(args.packed);
  const int32_t* by_tap = base + padded_outputs(s);
  const int8_t* weights = reinterpret_cast<const int8_t*>(by_tap + taps_of(s) * padded_outputs(s));
  int32_t sums[kTile * kBlock];
  for (int64_t first = 0; first < s.outputs; first += kBlock) {
    vnni_sum(count, patches, kStride, weights + first * fours_of(s) * 4, fours_of(s), base + first, sums);
    for (int64_t m = 0; m < count; ++m) {
      for (int64_t i = 0; i < kBlock; i += 16) {
        __m512i acc = vnni_load(sums + m * kBlock + i);
        if ((border >> m & 1) != 0) {
          acc = add_outside(s, at[m], by_tap + first + i, acc);
        }
        store(args, at[m].oh * s.window.out_width + at[m].ow, first + i, acc);
      }
    }
  }
}

void run(const ConvU8Args& args, int64_t begin, int64_t end) {
  const Window& w = args.shape.window;
  const Whole whole = whole_of(w);
  uint8_t patches[kTile * kStride] = {};  // the last four of a patch may reach past its products
  Position at[kTile];
  Position p = {begin, 0};
  for (int64_t left = (end - begin) * w.out_width; left > 0; left -= kTile) {
    const int64_t count = left < kTile ? left : kTile;
    unsigned border = 0;
    for (int64_t m = 0; m < count; ++m, p = next_position(w, p)) {
      at[m] = p;
      border |= static_cast<unsigned>(!whole.has(p)) << m;
      gather(args, p, whole.has(p), patches + m * kStride);
    }
    run_tile(args, patches, at, count, border);
  }
}

}  // namespace

constexpr ConvU8Kernel conv_u8_x86_avx512vnni = {
    "conv_u8_x86_avx512vnni", Isa::kAvx512, supports, packed_bytes, pack, run};

}  // namespace reactnet
