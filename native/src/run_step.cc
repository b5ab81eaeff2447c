#include "run_step.h"

#include "rows.h"
#include "run_head.h"

namespace reactnet {

void run_step(const Graph& graph, const Weights& weights, const Step& step, const Memory& memory, const Share& share) {
  if (step.rows != 0) {
    run_rows(graph, weights, step, memory, share);
  } else {
    run_head(graph, weights, step, memory, share, nullptr);
  }
}

}  // namespace reactnet
