// One step of a plan, or one thread's share of it.
#ifndef REACTNET_SRC_RUN_STEP_H_
#define REACTNET_SRC_RUN_STEP_H_

#include <cstdint>

#include "bind.h"
#include "graph.h"
#include "plan.h"
#include "pool.h"

namespace reactnet {

// Where the values of the image at hand lie.
struct Memory {
  const Plan* plan;
  std::uint8_t* arena;
  const std::uint8_t* image;  // value 0; or null, where
  const float* normalized;    // the value of the normalize node is given
  float* partial;             // a number for each thread
  std::uint8_t* scratch;      // Weights::scratch_bytes for each thread
  std::uint8_t* rows;         // Plan::rows_bytes for each thread

  void* at(ValueId value) const { return arena + plan->offsets[value]; }
  const void* in(ValueId value) const { return value == 0 ? image : arena + plan->offsets[value]; }
};

// Writes this share's rows of the step's values. All threads of the run must call it, then meet at the barrier.
void run_step(const Graph& graph, const Weights& weights, const Step& step, const Memory& memory, const Share& share);

}  // namespace reactnet

#endif  // REACTNET_SRC_RUN_STEP_H_
