// linear_i8 in registers of 128 bits: 32 outputs at a time, eight sums in registers; each step of inputs is broadcast
// once for all of them.
//
// Packed weights: blocks of 32 outputs x steps of inputs (products128.h); past the last output or input are zeros.
//
// An ISA's file includes this inside its own anonymous namespace, behind products128.h and `P`.
#ifndef REACTNET_KERNELS_LINEAR_I8_LANES128_H_
#define REACTNET_KERNELS_LINEAR_I8_LANES128_H_

using Number = P::Number;

constexpr int kRegisters = 8;
constexpr int64_t kBlock = kRegisters * 4;
constexpr int64_t kChunk = 2048;  // inputs copied at once; a multiple of every step
static_assert(kLinearI8Block % kBlock == 0 && kChunk % P::kStep == 0, "whole blocks, whole steps");

int64_t blocks_of(const LinearI8Shape& s) { return (s.outputs + kBlock - 1) / kBlock; }
int64_t steps_of(int64_t inputs) { return (inputs + P::kStep - 1) / P::kStep; }
int64_t block_numbers(const LinearI8Shape& s) { return steps_of(s.inputs) * P::kStep * kBlock; }

bool supports(const LinearI8Shape&) { return true; }

uint64_t packed_bytes(const LinearI8Shape& s) {
  return static_cast<uint64_t>(blocks_of(s) * block_numbers(s)) * sizeof(Number);
}

void pack(const LinearI8Shape& s, const int8_t* weight, void* packed) {
  memset(packed, 0, packed_bytes(s));
  for (int64_t o = 0; o < s.outputs; ++o) {
    Number* block = static_cast<Number*>(packed) + o / kBlock * block_numbers(s);
    for (int64_t i = 0; i < s.inputs; ++i) {
      block[place_in_block<P>(kRegisters, o % kBlock, i)] = weight[o * s.inputs + i];
    }
  }
}

void run_block(const LinearI8Args& args, int64_t block) {
  const Number* weight = static_cast<const Number*>(args.packed) + block * block_numbers(args.shape);
  Number inputs[kChunk];
  int32_t sums[kBlock] = {};
  for (int64_t begin = 0; begin < args.shape.inputs; begin += kChunk, weight += kChunk * kBlock) {
    const int64_t left = args.shape.inputs - begin;
    const int64_t count = left < kChunk ? left : kChunk;
    const int64_t steps = steps_of(count);
    for (int64_t i = 0; i < steps * P::kStep; ++i) {
      inputs[i] = i < count ? args.in[begin + i] : static_cast<Number>(0);
    }
    sum_tile<P, 1, kRegisters>(inputs, 0, weight, steps, sums, 0, sums);
  }
  const Floats in_scale = broadcast(args.in_scale);
  const int64_t first = block * kBlock;
  const int64_t left = args.shape.outputs - first;
  each_register(left < kBlock ? left : kBlock, [&](const auto& lanes, int64_t i) {
    const Floats y = multiply(multiply(to_floats(load_sums(sums + i)), in_scale), lanes.load(args.scale + first + i));
    lanes.store(args.out + first + i, add(y, lanes.load(args.bias + first + i)));
  });
}

void run(const LinearI8Args& args, int64_t begin, int64_t end) {
  const int64_t last = end * (kLinearI8Block / kBlock);
  for (int64_t block = begin * (kLinearI8Block / kBlock); block < last && block < blocks_of(args.shape); ++block) {
    run_block(args, block);
  }
}

#endif  // REACTNET_KERNELS_LINEAR_I8_LANES128_H_
