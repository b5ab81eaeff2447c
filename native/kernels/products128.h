// Patches of small integers times blocks of outputs, in registers of 128 bits: what the integer kernels of NEON and
// WebAssembly share. `P` says how numbers are multiplied: see <arch>_<isa>_products.h.
//
// Weights: blocks of kRegisters * 4 outputs x steps x registers x 4 * P::kStep numbers, in the register's own order.
//
// An ISA's file includes this inside its own anonymous namespace, behind <arch>_<isa>_lanes.h, <arch>_<isa>_products.h.
#ifndef REACTNET_KERNELS_PRODUCTS128_H_
#define REACTNET_KERNELS_PRODUCTS128_H_

// Where in a block the weight of output `o` of the block and product `i` stands.
template <class P>
inline int64_t place_in_block(int64_t registers, int64_t o, int64_t i) {
  const int in_register = P::place(static_cast<int>(o % 4), static_cast<int>(i % P::kStep));
  return (i / P::kStep * registers + o / 4) * 4 * P::kStep + in_register;
}

// Sums of kPixels patches, `stride` apart, with a block of weights. They begin at `start`, `start_step` from patch to
// patch, and go to `sums`, kRegisters * 4 a patch. The pragmas: without them g++ 12 keeps the sums in memory.
template <class P, int kPixels, int kRegisters>
void sum_tile(const typename P::Number* patches, int64_t stride, const typename P::Number* weight, int64_t steps,
              const int32_t* start, int64_t start_step, int32_t* sums) {
  Sums sum[kPixels][kRegisters];
#pragma GCC unroll 8
  for (int m = 0; m < kPixels; ++m) {
#pragma GCC unroll 8
    for (int r = 0; r < kRegisters; ++r) {
      sum[m][r] = load_sums(start + m * start_step + r * 4);
    }
  }
  for (int64_t i = 0; i < steps; ++i, weight += kRegisters * 4 * P::kStep) {
    typename P::Register w[kRegisters];
#pragma GCC unroll 8
    for (int r = 0; r < kRegisters; ++r) {
      w[r] = P::load(weight + r * 4 * P::kStep);
    }
#pragma GCC unroll 8
    for (int m = 0; m < kPixels; ++m) {
      const typename P::Input x = P::take(patches + m * stride + i * P::kStep);
#pragma GCC unroll 8
      for (int r = 0; r < kRegisters; ++r) {
        sum[m][r] = P::add_products(sum[m][r], x, w[r]);
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kPixels; ++m) {
#pragma GCC unroll 8
    for (int r = 0; r < kRegisters; ++r) {
      store_sums(sums + m * kRegisters * 4 + r * 4, sum[m][r]);
    }
  }
}

// The same of `pixels` patches, 1 to kMost.
template <class P, int kMost, int kRegisters>
void sum_patches(int64_t pixels, const typename P::Number* patches, int64_t stride, const typename P::Number* weight,
                 int64_t steps, const int32_t* start, int64_t start_step, int32_t* sums) {
  if constexpr (kMost > 1) {
    if (pixels < kMost) {
      sum_patches<P, kMost - 1, kRegisters>(pixels, patches, stride, weight, steps, start, start_step, sums);
      return;
    }
  }
  sum_tile<P, kMost, kRegisters>(patches, stride, weight, steps, start, start_step, sums);
}

// Calls finish(lanes, first) for the outputs 0 to count - 1 of a block, a register at a time.
template <class Finish>
inline void each_register(int64_t count, Finish finish) {
  int64_t o = 0;
  for (; o + kLanes <= count; o += kLanes) {
    finish(AllLanes(), o);
  }
  if (o < count) {
    finish(SomeLanes(count - o), o);
  }
}

#endif  // REACTNET_KERNELS_PRODUCTS128_H_
