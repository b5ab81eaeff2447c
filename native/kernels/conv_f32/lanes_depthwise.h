// Depthwise, in registers of any width: one input and one output a group, so lanes are channels. A tile is up to kTile
// pixels of a row, with the same taps inside, of two registers of channels: a weight is loaded once for all of them.
//
// Packed weights: kh x kw x channel.
//
// An ISA's file includes this inside its own anonymous namespace, behind <arch>_<isa>_lanes.h and kTile.
#ifndef REACTNET_KERNELS_CONV_F32_LANES_DEPTHWISE_H_
#define REACTNET_KERNELS_CONV_F32_LANES_DEPTHWISE_H_

bool supports(const ConvF32Shape& s) { return s.groups > 1 && s.channels == s.groups && s.outputs == s.groups; }

uint64_t packed_bytes(const ConvF32Shape& s) {
  return static_cast<uint64_t>(s.window.kernel_h * s.window.kernel_w * s.channels) * sizeof(float);
}

void pack(const ConvF32Shape& s, const float* weight, void* packed) {
  const int64_t taps = s.window.kernel_h * s.window.kernel_w;
  float* out = static_cast<float*>(packed);
  for (int64_t c = 0; c < s.channels; ++c) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      out[tap * s.channels + c] = weight[c * taps + tap];
    }
  }
}

// Pixels of one row of the output, from channel 0 on.
struct Run {
  const float* in;  // the first tap inside, of the first pixel
  int64_t in_step;  // floats from pixel to pixel
  float* out;
  Taps kh, kw;  // inside
};

// kVectors registers of channels from c on. Sums of the second have a name of their own: see lanes.h.
template <int kPixels, int kVectors, class Lanes>
inline void run_channels(const ConvF32Args& args, const Run& r, const Lanes& lanes, int64_t c) {
  const ConvF32Shape& s = args.shape;
  Floats low[kPixels];
  Floats high[kPixels];
  for (int m = 0; m < kPixels; ++m) {
    low[m] = high[m] = zero_floats();
  }
  for (int64_t kh = r.kh.begin; kh < r.kh.end; ++kh) {
    const float* in = r.in + (kh - r.kh.begin) * s.window.width * s.channels + c;
    const float* weight =
        static_cast<const float*>(args.packed) + (kh * s.window.kernel_w + r.kw.begin) * s.channels + c;
    for (int64_t kw = r.kw.begin; kw < r.kw.end; ++kw, in += s.channels, weight += s.channels) {
      const Floats w0 = lanes.load(weight);
      const Floats w1 = kVectors == 2 ? lanes.load(weight + kLanes) : w0;
      for (int m = 0; m < kPixels; ++m) {
        low[m] = add(low[m], multiply(lanes.load(in + m * r.in_step), w0));
        if (kVectors == 2) {
          high[m] = add(high[m], multiply(lanes.load(in + m * r.in_step + kLanes), w1));
        }
      }
    }
  }
  for (int m = 0; m < kPixels; ++m) {
    float* out = r.out + m * s.channels + c;
    lanes.store(out, args.bias == nullptr ? low[m] : add(low[m], lanes.load(args.bias + c)));
    if (kVectors == 2) {
      lanes.store(out + kLanes, args.bias == nullptr ? high[m] : add(high[m], lanes.load(args.bias + c + kLanes)));
    }
  }
}

template <int kPixels>
void run_pixels(const ConvF32Args& args, const Run& r) {
  int64_t c = 0;
  for (; c + 2 * kLanes <= args.shape.channels; c += 2 * kLanes) {
    run_channels<kPixels, 2>(args, r, AllLanes(), c);
  }
  for (; c + kLanes <= args.shape.channels; c += kLanes) {
    run_channels<kPixels, 1>(args, r, AllLanes(), c);
  }
  if (c < args.shape.channels) {
    run_channels<kPixels, 1>(args, r, SomeLanes(args.shape.channels - c), c);
  }
}

// 1 to kMost pixels.
template <int kMost>
void run_some_pixels(const ConvF32Args& args, const Run& r, int64_t pixels) {
  if constexpr (kMost > 1) {
    if (pixels < kMost) {
      run_some_pixels<kMost - 1>(args, r, pixels);
      return;
    }
  }
  run_pixels<kMost>(args, r);
}

void run(const ConvF32Args& args, int64_t begin, int64_t end) {
  const Window& w = args.shape.window;
  const int64_t channels = args.shape.channels;
  for (int64_t oh = begin; oh < end; ++oh) {
    const Taps kh = inside_rows(w, oh);
    for (int64_t ow = 0; ow < w.out_width;) {
      const Taps kw = inside_columns(w, ow);
      const int64_t next = same_columns_end(w, ow, kTile);
      Run r = {args.in, w.stride_w * channels, args.out + (oh * w.out_width + ow) * channels, kh, kw};
      if (kh.begin < kh.end && kw.begin < kw.end) {
        const int64_t row = oh * w.stride_h - w.padding_h + kh.begin;
        r.in += (row * w.width + ow * w.stride_w - w.padding_w + kw.begin) * channels;
      } else {
        r.kh.end = r.kh.begin;  // no tap: nothing is read
      }
      run_some_pixels<kTile>(args, r, next - ow);
      ow = next;
    }
  }
}

#endif  // REACTNET_KERNELS_CONV_F32_LANES_DEPTHWISE_H_
