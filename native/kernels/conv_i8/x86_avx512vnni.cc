// vpdpbusd multiplies unsigned bytes by signed ones, so the values are taken as q + 128 and the sum begins at
// -128 times the output's weights, all of them: sum (q + 128) w - 128 sum w = sum q w. A tap outside is q = 0, which is
// 128. The sum wraps on the way, and is exact in the end since the format keeps it within int32.
//
// Neighbouring groups with few outputs are taken as one, as many as fill a block: the weights between one's outputs and
// another's channels are zeros, in lanes that were empty.
//
// Packed: -128 times the sum of each output's weights; then weights as int8, groups x blocks of 32 outputs x fours of
// products x 32 x 4. What is past the last output of a group, or past the last product, is zero.
#include <immintrin.h>
#include <string.h>

#include "conv_i8/conv_i8.h"
#include "patch.h"
#include "x86_avx512vnni_sums.h"

namespace reactnet {
namespace {

constexpr int64_t kBlock = kVnniBlock;
constexpr int64_t kNear = 24 * 1024;  // bytes of patches at once: half of a first cache, if a tile's fit
constexpr int64_t kScratch = 65536;   // at most: half of a small second-level cache

struct Part {  // one group of channels and outputs
  int64_t channels, outputs, blocks, products, fours;
};

Part part_of(const ConvI8Shape& s) {
  const int64_t outputs = s.outputs / s.groups;
  const int64_t channels = s.channels / s.groups;
  const int64_t products = s.window.kernel_h * s.window.kernel_w * channels;
  return {channels, outputs, (outputs + kBlock - 1) / kBlock, products, (products + 3) / 4};
}

// With groups taken together.
ConvI8Shape merged(ConvI8Shape s) {
  while (s.groups % 2 == 0 && s.outputs / s.groups < kBlock) {
    s.groups /= 2;
  }
  return s;
}

// Groups that stay small would leave most lanes empty; of one or two outputs each, mostly zeros would be multiplied.
bool supports(const ConvI8Shape& s) {
  const ConvI8Shape m = merged(s);
  return part_of(m).fours * 4 * kVnniTile <= kScratch &&
         (s.groups == 1 || (s.outputs / s.groups >= 4 && m.outputs / m.groups >= 16));
}

uint64_t packed_bytes(const ConvI8Shape& shape) {
  const ConvI8Shape s = merged(shape);
  const Part p = part_of(s);
  return static_cast<uint64_t>(s.groups * p.blocks * kBlock * 4 * (1 + p.fours));
}

void pack(const ConvI8Shape& shape, const int8_t* weight, void* packed) {
  const ConvI8Shape s = merged(shape);
  const Part p = part_of(s);
  const Part own = part_of(shape);
  memset(packed, 0, packed_bytes(shape));
  int32_t* base = static_cast<int32_t*>(packed);
  int8_t* weights = reinterpret_cast<int8_t*>(base + s.groups * p.blocks * kBlock);
  for (int64_t o = 0; o < s.outputs; ++o) {
    const int64_t in_group = o % p.outputs;
    const int64_t block = o / p.outputs * p.blocks + in_group / kBlock;
    int8_t* out = weights + (block * p.fours * kBlock + in_group % kBlock) * 4;
    int32_t* sum = base + block * kBlock + in_group % kBlock;
    const int64_t channel = o / own.outputs * own.channels % p.channels;  // the first that it reads
    for (int64_t i = 0; i < own.products; ++i) {
      const int64_t to = i / own.channels * p.channels + channel + i % own.channels;
      out[to / 4 * kBlock * 4 + to % 4] = weight[o * own.products + i];
      *sum -= 128 * weight[o * own.products + i];
    }
  }
}

// Copies bytes as q + 128; touches no others.
void copy_bytes(uint8_t* out, const int8_t* in, int64_t count) {
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  for (int64_t i = 0; i < count; i += 64) {
    const __mmask64 lanes = count - i >= 64 ? ~__mmask64{0} : (__mmask64{1} << (count - i)) - 1;
    const __m512i bytes = _mm512_maskz_loadu_epi8(lanes, in + i);
    _mm512_mask_storeu_epi8(out + i, lanes, _mm512_xor_si512(bytes, flip));
  }
}

void gather(const ConvI8Args& args, const Part& p, int64_t group, Position at, bool whole, uint8_t* patch) {
  if (!whole) {
    memset(patch, 0x80, static_cast<size_t>(p.products));
  }
  each_run(args.shape.window, at, {args.shape.channels, group * p.channels, p.channels},
           [&](int64_t to, int64_t from, int64_t count) { copy_bytes(patch + to, args.in + from, count); });
}

void run_group(const ConvI8Args& args, const Part& p, int64_t group, int64_t index, int64_t count,
               const uint8_t* patches) {
  const int32_t* base = static_cast<const int32_t*>(args.packed);
  const int8_t* weights = reinterpret_cast<const int8_t*>(base + args.shape.groups * p.blocks * kBlock);
  const int64_t bytes = p.fours * 4;
  const int64_t size = vnni_tile_of(count);
  for (int64_t block = 0; block < p.blocks; ++block) {
    const int64_t at = group * p.blocks + block;
    const int64_t first = group * p.outputs + block * kBlock;
    const int64_t left = p.outputs - block * kBlock;
    VnniOutputs<true> outputs = {args.in_scale,      args.scale + first, args.bias + first,    nullptr,
                                 args.shape.outputs, vnni_lanes(left),   vnni_lanes(left - 16)};
    for (int64_t m = 0; m < count; m += size) {
      const VnniTile tile = {patches + m * bytes, bytes, p.fours, weights + at * bytes * kBlock, base + at * kBlock, 0};
      outputs.out = args.out + (index + m) * args.shape.outputs + first;
      vnni_sum<kVnniTile>(
          tile, count - m < size ? count - m : size, [](int64_t i) { return i * 4; }, outputs);
    }
  }
}

// Pixels whose patches are at hand at once.
int64_t most_pixels(const Part& p) {
  const int64_t near = kNear / (p.fours * 4) / kVnniTile * kVnniTile;
  return near > 0 ? near : kVnniTile;
}

// Patches lie in the map as they are wanted: one tap, no border, whole fours.
bool lie_ready(const ConvI8Shape& s) {
  const Window& w = s.window;
  return w.kernel_h * w.kernel_w * w.stride_h * w.stride_w * s.groups == 1 && w.padding_h + w.padding_w == 0 &&
         s.channels % 4 == 0;
}

void gather_all(const ConvI8Args& args, const Part& p, int64_t group, int64_t index, int64_t count, uint8_t* patches) {
  if (lie_ready(args.shape)) {
    copy_bytes(patches, args.in + index * p.channels, count * p.channels);
    return;
  }
  const Window& w = args.shape.window;
  const Whole whole = whole_of(w);
  Position at = position_at(w, index);
  for (int64_t m = 0; m < count; ++m, at = next_position(w, at)) {
    gather(args, p, group, at, whole.has(at), patches + m * p.fours * 4);
  }
}

void run(const ConvI8Args& given, int64_t begin, int64_t end) {
  ConvI8Args args = given;
  args.shape = merged(given.shape);
  const Part p = part_of(args.shape);
  const int64_t width = args.shape.window.out_width;
  const int64_t last = end * width;
  const int64_t most = most_pixels(p);
  uint8_t patches[kScratch];
  memset(patches, 0, static_cast<size_t>(most * p.fours * 4));  // the last four may reach past a patch's products
  for (int64_t index = begin * width; index < last; index += most) {
    const int64_t count = last - index < most ? last - index : most;
    for (int64_t group = 0; group < args.shape.groups; ++group) {
      gather_all(args, p, group, index, count, patches);
      run_group(args, p, group, index, count, patches);
    }
  }
}

}  // namespace

constexpr ConvI8Kernel conv_i8_x86_avx512vnni = {
    "conv_i8_x86_avx512vnni", Isa::kAvx512, supports, packed_bytes, pack, run};

}  // namespace reactnet
