// What the AVX2 kernel makes of rows of the map before it counts: indices of tables and odd nibbles. Part of
// x86_avx2.cc alone, built with its flags.
#ifndef REACTNET_KERNELS_BCONV2D_X86_AVX2_ROWS_H_
#define REACTNET_KERNELS_BCONV2D_X86_AVX2_ROWS_H_

#include "bconv2d/x86_avx2_layout.h"

namespace reactnet {
namespace {

// Units of pixels outside the map.
void write_outside(const BConv2dShape& s, const Layout& l, int64_t pixels, uint32_t* out) {
  memset(out, s.padding_value == 1 ? 0xFF : 0, static_cast<size_t>(pixels * l.units) * 4);
  for (int64_t i = 1; s.padding_value == 1 && s.channels % 32 != 0 && i <= pixels; ++i) {
    out[i * l.units - 1] = (1u << (s.channels % 32)) - 1u;
  }
}

// The units of row y of the map, from column -padding_w on.
void write_units(const BConv2dArgs& args, const Layout& l, int64_t y, uint32_t* out) {
  const BConv2dShape& s = args.shape;
  const Window& w = s.window;
  const int64_t words = (s.channels + 63) / 64;
  const bool inside = y >= 0 && y < w.height && w.padding_w < l.units_width;
  const int64_t begin = inside ? w.padding_w : l.units_width;
  const int64_t room = l.units_width - begin;
  const int64_t pixels = room < w.width ? room : w.width;
  write_outside(s, l, begin, out);
  out += begin * l.units;
  const uint64_t* in = args.in + (inside ? y * w.width * words : 0);
  if (l.units == 1) {
    for (int64_t i = 0; i < pixels; ++i) {
      out[i] = static_cast<uint32_t>(in[i]);
    }
  } else if (l.units % 2 == 0) {
    memcpy(out, in, static_cast<size_t>(pixels * words) * 8);
  } else {
    for (int64_t i = 0; i < pixels; ++i) {
      memcpy(out + i * l.units, in + i * words, static_cast<size_t>(l.units) * 4);
    }
  }
  write_outside(s, l, room - pixels, out + pixels * l.units);
}

// The tables that belong to four units of two pixels each: byte offsets into kTables.
inline void write_four(__m128i a, __m128i b, uint16_t* out) {
  const __m128i low = _mm_set1_epi8(15);
  const __m128i high = _mm_set1_epi8(-16);
  const __m128i even = _mm_or_si128(_mm_and_si128(a, low), _mm_and_si128(_mm_slli_epi16(b, 4), high));
  const __m128i odd = _mm_or_si128(_mm_and_si128(_mm_srli_epi16(a, 4), low), _mm_and_si128(b, high));
  const __m128i two[2] = {_mm_unpacklo_epi32(even, odd), _mm_unpackhi_epi32(even, odd)};
  for (int i = 0; i < 2; ++i) {
    const __m256i entries = _mm256_slli_epi16(_mm256_cvtepu8_epi16(two[i]), 4);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i * 16), entries);
  }
}

inline __m128i four_at(const uint8_t* units) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(units)); }

// Units that follow each other, of the first pixels from a on, of the second from b on.
void write_run(const uint8_t* a, const uint8_t* b, int64_t count, uint16_t* out) {
  if (count < 4) {
    uint32_t both[2][4] = {};
    memcpy(both[0], a, static_cast<size_t>(count) * 4);
    memcpy(both[1], b, static_cast<size_t>(count) * 4);
    uint16_t entries[32];
    write_four(four_at(reinterpret_cast<uint8_t*>(both[0])), four_at(reinterpret_cast<uint8_t*>(both[1])), entries);
    memcpy(out, entries, static_cast<size_t>(count) * 16);
    return;
  }
  for (int64_t i = 0; i < count; i += 4) {
    i = i + 4 <= count ? i : count - 4;  // the last ones once more
    write_four(four_at(a + i * 4), four_at(b + i * 4), out + i * 8);
  }
}

// Pairs of neighbours of one unit or of two, which lie in turns; as many as there are fours.
int64_t write_neighbours(const uint8_t* units, const Layout& l, uint16_t* out) {
  const int64_t together = 4 / l.units;
  int64_t pair = 0;
  for (; pair + together <= l.pairs; pair += together, units += 32, out += 32) {
    const __m128i first = four_at(units);
    const __m128i second = four_at(units + 16);
    if (l.units == 2) {
      write_four(_mm_unpacklo_epi64(first, second), _mm_unpackhi_epi64(first, second), out);
    } else {
      const __m128 x = _mm_castsi128_ps(first);
      const __m128 y = _mm_castsi128_ps(second);
      write_four(_mm_castps_si128(_mm_shuffle_ps(x, y, 0x88)), _mm_castps_si128(_mm_shuffle_ps(x, y, 0xDD)), out);
    }
  }
  return pair;
}

// Of one row of the map.
void write_indices(const uint8_t* units, const Layout& l, const Window& w, uint16_t* out) {
  const int64_t step = w.stride_w * l.units * 4;  // from the first pixel to the second
  if (l.shared) {
    write_run(units, units + step, l.columns * l.units, out);
    return;
  }
  const bool neighbours = w.kernel_w == 1 && w.stride_w == 1 && l.units <= 2;
  int64_t pair = neighbours ? write_neighbours(units, l, out) : 0;
  for (; pair < l.pairs; ++pair) {
    const uint8_t* first = units + pair * 2 * step;
    write_run(first, first + step, l.pair_step * l.units, out + pair * l.pair_step * l.nibbles);
  }
}

// Odd nibbles of each unit.
void write_unit_odds(const uint8_t* units, int64_t count, uint32_t* out) {
  for (int64_t i = 0; i < count; ++i) {
    uint32_t v;
    memcpy(&v, units + i * 4, sizeof(v));
    v ^= v >> 2;
    v ^= v >> 1;
    out[i] = (v & 0x11111111u) * 0x11111111u >> 28;
  }
}

// The sums of two numbers that stand side by side, in place.
void add_neighbours(uint32_t* numbers, int64_t sums) {
  int64_t i = 0;
  for (; i + 8 <= sums; i += 8) {
    const __m256i* from = reinterpret_cast<const __m256i*>(numbers + 2 * i);
    const __m256i both = _mm256_hadd_epi32(_mm256_loadu_si256(from), _mm256_loadu_si256(from + 1));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(numbers + i), _mm256_permute4x64_epi64(both, 0xD8));
  }
  for (; i < sums; ++i) {
    numbers[i] = numbers[2 * i] + numbers[2 * i + 1];
  }
}

// Odd nibbles of the windows' rows that lie in one row of the map.
void write_row_odds(const uint8_t* units, const Layout& l, const Window& w, uint32_t* pixels, uint32_t* out) {
  write_unit_odds(units, l.units_width * l.units, pixels);
  int64_t parts = l.units;
  for (; l.units <= 4 && parts % 2 == 0; parts /= 2) {
    add_neighbours(pixels, l.units_width * parts / 2);
  }
  for (int64_t x = 0; parts > 1 && x < l.units_width; ++x) {  // in place
    uint32_t sum = 0;
    for (int64_t i = 0; i < parts; ++i) {
      sum += pixels[x * parts + i];
    }
    pixels[x] = sum;
  }
  for (int64_t ow = 0; ow < l.pairs * 2; ++ow) {
    out[ow] = pixels[ow * w.stride_w];
  }
  for (int64_t column = 1; column < w.kernel_w; ++column) {
    for (int64_t ow = 0; ow < l.pairs * 2; ++ow) {
      out[ow] += pixels[ow * w.stride_w + column];
    }
  }
}

// Rows [first, last) of the map, as they count from -padding_h on.
void write_rows(const BConv2dArgs& args, const Layout& l, int64_t first, int64_t last, const Scratch& scratch) {
  const Window& w = args.shape.window;
  const int64_t words = (args.shape.channels + 63) / 64;
  const bool in_place = w.padding_w == 0 && args.shape.channels % 64 == 0 && l.units_width <= w.width;
  uint16_t* indices = scratch.indices;
  uint32_t* odds = scratch.row_odds;
  for (int64_t y = first; y < last; ++y, indices += l.columns * l.nibbles, odds += l.pairs * 2) {
    if (args.shape.padding_value == 0 && (y < 0 || y >= w.height)) {
      continue;  // nobody reads it
    }
    const bool direct = in_place && y >= 0 && y < w.height;
    if (!direct) {
      write_units(args, l, y, scratch.units);
    }
    const uint8_t* row = reinterpret_cast<const uint8_t*>(scratch.units);
    row = direct ? reinterpret_cast<const uint8_t*>(args.in + y * w.width * words) : row;
    write_row_odds(row, l, w, scratch.pixel_odds, odds);
    write_indices(row, l, w, indices);
  }
}

Taps rows_of(const BConv2dShape& s, int64_t oh) {
  return s.padding_value == 0 ? inside_rows(s.window, oh) : Taps{0, s.window.kernel_h};
}

// Twice the odd nibbles of each window of output rows begin to end - 1, as a pair of u16.
void write_window_odds(const BConv2dShape& s, const Layout& l, int64_t begin, int64_t end, const Scratch& scratch) {
  const int64_t width = l.pairs * 2;
  for (int64_t oh = begin; oh < end; ++oh) {
    uint32_t* out = scratch.window_odds + (oh - begin) * width;
    memset(out, 0, static_cast<size_t>(width) * 4);
    const Taps rows = rows_of(s, oh);
    for (int64_t kh = rows.begin; kh < rows.end; ++kh) {
      const uint32_t* row = scratch.row_odds + ((oh - begin) * s.window.stride_h + kh) * width;
      for (int64_t ow = 0; ow < width; ++ow) {
        out[ow] += 2 * 0x10001 * row[ow];
      }
    }
  }
}

}  // namespace
}  // namespace reactnet

#endif  // REACTNET_KERNELS_BCONV2D_X86_AVX2_ROWS_H_
