// linear_f32 in registers of any width: kSums registers of sums at a time, enough to hide the latency of an addition,
// which the law does not allow to fuse with its product. The weights are read once, in order: their memory sets the
// speed, and a core asks further ahead of several streams than of one.
//
// Packed weights: blocks of kSums registers of outputs x inputs x the block, the last block filled up with zeros.
//
// An ISA's file includes this inside its own anonymous namespace, behind <arch>_<isa>_lanes.h and kSums.
#ifndef REACTNET_KERNELS_LINEAR_F32_LANES_H_
#define REACTNET_KERNELS_LINEAR_F32_LANES_H_

constexpr int64_t kBlock = kSums * kLanes;
constexpr int kStreams = kLanes > 8 ? 4 : 1;  // blocks read at once, where registers are left for their sums
static_assert(kLinearF32Block % kBlock == 0, "a unit of work is whole blocks");

int64_t blocks_of(const LinearF32Shape& s) { return (s.outputs + kBlock - 1) / kBlock; }

bool supports(const LinearF32Shape&) { return true; }

uint64_t packed_bytes(const LinearF32Shape& s) {
  return static_cast<uint64_t>(blocks_of(s) * s.inputs * kBlock) * sizeof(float);
}

// A few inputs at a time, of all outputs of a block, so that their lines stay in the first cache.
void pack(const LinearF32Shape& s, const float* weight, void* packed) {
  constexpr int64_t kFew = 16;
  float* out = static_cast<float*>(packed);
  for (int64_t first = 0; first < s.outputs; first += kBlock, out += s.inputs * kBlock) {
    const int64_t count = s.outputs - first < kBlock ? s.outputs - first : kBlock;
    if (count < kBlock) {
      memset(out, 0, static_cast<size_t>(s.inputs * kBlock) * sizeof(float));
    }
    for (int64_t begin = 0; begin < s.inputs; begin += kFew) {
      const int64_t end = s.inputs - begin < kFew ? s.inputs : begin + kFew;
      for (int64_t o = 0; o < count; ++o) {
        for (int64_t i = begin; i < end; ++i) {
          out[i * kBlock + o] = weight[(first + o) * s.inputs + i];
        }
      }
    }
  }
}

template <class Lanes>
inline void store_sums(const LinearF32Args& args, const Lanes& lanes, int64_t o, Floats sum) {
  lanes.store(args.out + o, args.bias == nullptr ? sum : add(sum, lanes.load(args.bias + o)));
}

// kCount blocks from `block` on, in step: each is a stream of its own for the core's prefetch.
template <int kCount>
void run_blocks(const LinearF32Args& args, int64_t block) {
  const int64_t floats = args.shape.inputs * kBlock;  // of a block
  const float* weight = static_cast<const float*>(args.packed) + block * floats;
  Floats sum[kCount * kSums];
  for (int r = 0; r < kCount * kSums; ++r) {
    sum[r] = zero_floats();
  }
  for (int64_t i = 0; i < args.shape.inputs; ++i, weight += kBlock) {
    const Floats x = broadcast(args.in + i);
#pragma GCC unroll 16
    for (int r = 0; r < kCount * kSums; ++r) {
      const float* w = weight + r / kSums * floats + r % kSums * kLanes;
      sum[r] = add(sum[r], multiply(x, AllLanes::load(w)));
    }
  }
  for (int r = 0; r < kCount * kSums; ++r) {
    const int64_t o = block * kBlock + r * kLanes;
    if (o + kLanes <= args.shape.outputs) {
      store_sums(args, AllLanes(), o, sum[r]);
    } else if (o < args.shape.outputs) {
      store_sums(args, SomeLanes(args.shape.outputs - o), o, sum[r]);
    }
  }
}

void run(const LinearF32Args& args, int64_t begin, int64_t end) {
  const int64_t blocks = blocks_of(args.shape);
  const int64_t end_block = end * (kLinearF32Block / kBlock);
  const int64_t last = end_block < blocks ? end_block : blocks;
  int64_t block = begin * (kLinearF32Block / kBlock);
  if constexpr (kStreams > 1) {
    for (; block + kStreams <= last; block += kStreams) {
      run_blocks<kStreams>(args, block);
    }
  }
  for (; block < last; ++block) {
    run_blocks<1>(args, block);
  }
}

#endif  // REACTNET_KERNELS_LINEAR_F32_LANES_H_
