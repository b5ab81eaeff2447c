// conv_f32 of pixels by a table: what the first convolution of a network reads is one of 256 numbers a colour. So a
// product takes its number from the table, and nobody writes or reads the normalised map: a look-up is an integer load
// and a broadcast out of the first cache, beside products and sums, which keep all four vector pipes.
//
// Rows of pixels are copied as places in the table, of 16 bits, since there is one more than bytes have: what lies left
// and right of the map is a +0. That changes no sum: one that begins at +0 is never -0, so that a product of zero
// leaves it as it was. A row of outputs then has no edges.
//
// A tile is up to fourteen pixels of a row against 32 outputs; the last one of a row begins so that it is whole, and
// makes some outputs again. Packed weights: as in lanes.h, blocks of kWide.
//
// Included by x86_avx512.cc inside its own anonymous namespace, behind conv_f32/lanes.h.
#ifndef REACTNET_KERNELS_CONV_F32_X86_AVX512_PIXELS_H_
#define REACTNET_KERNELS_CONV_F32_X86_AVX512_PIXELS_H_

constexpr int64_t kColours = 3;
constexpr uint16_t kOutside = 256;          // the place of +0
constexpr int64_t kNumbers = 256 + kLanes;  // of a colour
constexpr int64_t kMostRows = 8;            // of a window, and taps of one of its rows
constexpr int64_t kPlaces = 16 * 1024;      // of all rows of a window: 32 KiB

struct Table {
  float numbers[kColours][kNumbers];
  const float* of[kMostRows * kColours];  // each product of a row of taps

  explicit Table(const float* table) {
    for (int64_t v = 0; v < 256; ++v) {
      for (int64_t c = 0; c < kColours; ++c) {
        numbers[c][v] = table[v * kColours + c];
      }
    }
    for (int64_t c = 0; c < kColours; ++c) {
      numbers[c][kOutside] = 0.0F;
    }
    for (int64_t i = 0; i < kMostRows * kColours; ++i) {
      of[i] = numbers[i % kColours];
    }
  }
};

// The rows of a window as places: row y of the map is number y modulo the window's rows.
struct PlaceRows {
  alignas(64) uint16_t places[kPlaces];
  int64_t step;  // to the next row
  int64_t next;  // row of the map to be copied

  // Places of a row, and what a tile's last pixels may skip of it.
  static int64_t step_of(const Window& w) {
    return ((w.width + 2 * w.padding_w) * kColours + kLanes) / kLanes * kLanes;
  }

  PlaceRows(const Window& w, int64_t first) : step(step_of(w)), next(first) {
    for (int64_t i = 0; i < w.kernel_h * step; ++i) {
      places[i] = kOutside;
    }
  }

  const uint16_t* row(const Window& w, int64_t y) const { return places + y % w.kernel_h * step; }

  void copy_until(const Window& w, const uint8_t* pixels, int64_t end) {
    for (; next < end && next < w.height; ++next) {
      const uint8_t* __restrict in = pixels + next * w.width * kColours;
      uint16_t* __restrict out = places + next % w.kernel_h * step + w.padding_w * kColours;
      for (int64_t i = 0; i < w.width * kColours; ++i) {
        out[i] = in[i];
      }
    }
  }
};

// What becomes of the sums of 32 outputs of a pixel.
struct PixelEnd {
  int64_t step;         // floats to the next pixel
  SomeLanes low, high;  // those that exist
  Floats bias_low, bias_high;

  PixelEnd(const ConvF32Args& args, int64_t first)
      : step(args.shape.outputs),
        low(step - first),
        high(step - first > kLanes ? step - first - kLanes : 0),
        bias_low(args.bias == nullptr ? zero_floats() : low.load(args.bias + first)),
        bias_high(args.bias == nullptr ? zero_floats() : high.load(args.bias + first + kLanes)) {}
};

// The sums of the last pixel of a tile, and of those before it; kStep places from pixel to pixel.
template <int kPixels, int kStep>
struct PixelSums {
  PixelSums<kPixels - 1, kStep> others;
  Floats low = zero_floats(), high = zero_floats();

  __attribute__((always_inline)) inline void add_products(const uint16_t* x, const float* numbers, Floats w0,
                                                          Floats w1) {
    others.add_products(x, numbers, w0, w1);
    const Floats number = broadcast(numbers + x[(kPixels - 1) * kStep]);
    low = add(low, multiply(number, w0));
    high = add(high, multiply(number, w1));
  }
  __attribute__((always_inline)) inline void finish(const PixelEnd& end, float* out) const {
    others.finish(end, out);
    end.low.store(out + (kPixels - 1) * end.step, add(low, end.bias_low));
    end.high.store(out + (kPixels - 1) * end.step + kLanes, add(high, end.bias_high));
  }
};

template <int kStep>
struct PixelSums<0, kStep> {
  inline void add_products(const uint16_t*, const float*, Floats, Floats) {}
  inline void finish(const PixelEnd&, float*) const {}
};

// A row of outputs, 32 of each pixel.
struct PixelLine {
  const uint16_t* rows[kMostRows];  // of taps inside the map, from the first pixel's first tap on
  int64_t row_count;
  int64_t products;             // of a row
  const float* const* numbers;  // of each
  const float* weight;
  float* out;
  int64_t pixels;
};

// Of at least kPixels pixels.
template <int kPixels, int kStep>
void run_pixel_line(const PixelLine& line, const PixelEnd& line_end) {
  const PixelEnd end = line_end;  // in registers: a store of floats may change what a reference shows
  for (int64_t p = 0;;) {
    PixelSums<kPixels, kStep> sums;
    const float* weight = line.weight;
    const float* next_out = line.out + (p + kPixels) * end.step;
    for (int64_t r = 0; r < line.row_count; ++r) {
      const uint16_t* x = line.rows[r] + p * kStep;
      for (int64_t i = 0; i < line.products; ++i, weight += kWide) {
        __builtin_prefetch(next_out);  // a line with each product, or the stores of a tile would wait for them
        next_out += kLanes;
        sums.add_products(x + i, line.numbers[i], AllLanes::load(weight), AllLanes::load(weight + kLanes));
      }
    }
    sums.finish(end, line.out + p * end.step);
    if (p + kPixels == line.pixels) {
      return;
    }
    p = p + 2 * kPixels < line.pixels ? p + kPixels : line.pixels - kPixels;
  }
}

template <int kStep>
void run_pixel_line_of(const PixelLine& line, const PixelEnd& end) {
  constexpr int kFew = 4;
  if (line.pixels >= kWideTile) {
    run_pixel_line<kWideTile, kStep>(line, end);
  } else if (line.pixels >= kFew) {
    run_pixel_line<kFew, kStep>(line, end);
  } else {
    run_pixel_line<1, kStep>(line, end);
  }
}

bool looks_up(const ConvF32Shape& s) {
  const Window& w = s.window;
  return s.groups == 1 && s.channels == kColours && s.outputs > kNarrow && w.stride_w <= 2 && w.kernel_h <= kMostRows &&
         w.kernel_w <= kMostRows && PlaceRows::step_of(w) * w.kernel_h <= kPlaces;
}

void run_pixels(const ConvF32Args& args, int64_t begin, int64_t end) {
  const ConvF32Shape& s = args.shape;
  const Window& w = s.window;
  const Group g = group_of(s);
  const Table table(args.table);
  const int64_t first_row = begin * w.stride_h - w.padding_h;
  PlaceRows places(w, first_row > 0 ? first_row : 0);
  PixelLine line = {{}, 0, w.kernel_w * kColours, table.of, nullptr, nullptr, w.out_width};
  for (int64_t oh = begin; oh < end; ++oh) {
    const Taps taps = inside_rows(w, oh);
    const int64_t top = oh * w.stride_h - w.padding_h;
    places.copy_until(w, args.pixels, top + taps.end);
    line.row_count = taps.end - taps.begin;
    for (int64_t r = 0; r < line.row_count; ++r) {
      line.rows[r] = places.row(w, top + taps.begin + r);
    }
    for (int64_t first = 0; first < s.outputs; first += kWide) {
      line.weight =
          static_cast<const float*>(args.packed) + first / kWide * g.floats + taps.begin * line.products * kWide;
      line.out = args.out + oh * w.out_width * s.outputs + first;
      const PixelEnd pixel_end(args, first);
      if (w.stride_w == 1) {
        run_pixel_line_of<kColours>(line, pixel_end);
      } else {
        run_pixel_line_of<2 * kColours>(line, pixel_end);
      }
    }
  }
}

#endif  // REACTNET_KERNELS_CONV_F32_X86_AVX512_PIXELS_H_
