// Which nodes become one step.
#ifndef REACTNET_SRC_FUSE_H_
#define REACTNET_SRC_FUSE_H_

#include <vector>

#include "bind.h"
#include "plan.h"

namespace reactnet {

// The graph as steps, each after all that it reads. Every node is in exactly one.
std::vector<Step> fuse(const Graph& graph, const Weights& weights);
std::vector<Step> one_step_a_node(const Graph& graph);

}  // namespace reactnet

#endif  // REACTNET_SRC_FUSE_H_
