// The kernel that a step's head names.
#ifndef REACTNET_SRC_RUN_HEAD_H_
#define REACTNET_SRC_RUN_HEAD_H_

#include <cstdint>

#include "run_step.h"

namespace reactnet {

// Kernels of AVX-512 alone look pixels up or leave maxima of their rows: elsewhere nobody asks, and code stays small.
#if defined(__x86_64__)
inline constexpr bool kAsksAvx512 = true;
#else
inline constexpr bool kAsksAvx512 = false;
#endif

// Rows begin to end - 1 of the head's map; of the pool's, where a conv_u8 pools by itself.
struct HeadRows {
  std::int64_t begin, end;
  const void* in;  // in place of the first input; or null
  float* out;      // where row 0 lies, or would
  float* pooled;   // of a head that pools its rows itself; or null
};

// These rows; or, with `rows` null, this share of the step, whose value is in the arena.
void run_head(const Graph& graph, const Weights& weights, const Step& step, const Memory& memory, const Share& share,
              const HeadRows* rows);

PoolOp pool_op(Op op);  // of a node that a pool kernel does

}  // namespace reactnet

#endif  // REACTNET_SRC_RUN_HEAD_H_
