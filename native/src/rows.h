// The rows that a step has at hand: a head makes a few, everything behind it is done on them while they are near.
#ifndef REACTNET_SRC_ROWS_H_
#define REACTNET_SRC_ROWS_H_

#include <cstdint>

#include "bind.h"
#include "graph.h"
#include "plan.h"
#include "run_step.h"

namespace reactnet {

// Step::rows for a step whose other fields are set.
std::int64_t rows_at_hand(const Graph& graph, const Weights& weights, const Step& step);

// A thread's own memory for them; bytes are multiples of kAlignment.
struct RowsLayout {
  std::uint64_t image_bytes = 0;  // normalised rows of the image, first
  std::uint64_t bytes = 0;        // with the rows of the head behind them, where those have no place in the arena
};
RowsLayout rows_layout(const Graph& graph, const Weights& weights, const Step& step);

// run_step for steps that have rows.
void run_rows(const Graph& graph, const Weights& weights, const Step& step, const Memory& memory, const Share& share);

}  // namespace reactnet

#endif  // REACTNET_SRC_ROWS_H_
