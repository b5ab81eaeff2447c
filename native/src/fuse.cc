// bconv2d -> affine -> add(shortcut) -> prelu -> affine of unit scale -> sign, each but the first optional.
//
// A value inside a chain has one reader, so nobody misses it. The last f32 value may have more: then it is written out.
// A chain stands where its last f32 node stands: whatever the shortcut needs is done by then, and whoever reads the
// chain's values comes later. Its sign is pulled forward, as it reads nothing else.
#include "fuse.h"

#include <algorithm>

namespace reactnet {
namespace {

class Fuser {
 public:
  Fuser(const Graph& graph, const Weights& weights)
      : graph_(graph), weights_(weights), readers_(graph.values.size()), taken_(graph.nodes.size(), false) {
    for (NodeId node = 0; node < graph.nodes.size(); ++node) {
      for (const ValueId input : graph.nodes[node].inputs) {
        readers_[input].push_back(node);
      }
    }
  }

  std::vector<Step> run() {
    struct Placed {
      NodeId place;
      Step step;
    };
    std::vector<Placed> placed;
    for (NodeId node = 0; node < graph_.nodes.size(); ++node) {
      if (graph_.nodes[node].op == Op::kBConv2d) {
        Step step = chain(node);
        placed.push_back({place_, std::move(step)});
      }
    }
    for (NodeId node = 0; node < graph_.nodes.size(); ++node) {
      if (!taken_[node]) {
        placed.push_back({node, single(graph_, node)});
      }
    }
    std::sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) { return a.place < b.place; });
    std::vector<Step> steps;
    for (Placed& entry : placed) {
      steps.push_back(std::move(entry.step));
    }
    return steps;
  }

  static Step single(const Graph& graph, NodeId node) {
    Step step;
    step.node = node;
    step.nodes = {node};
    step.inputs = graph.nodes[node].inputs;
    step.value = node + 1;
    return step;
  }

 private:
  // The node of this op that alone reads `value`, or kNone. Of two chains that meet in an add, the first has it.
  NodeId only_reader(ValueId value, Op op) const {
    if (readers_[value].size() != 1 || value == graph_.output) {
      return kNone;
    }
    const NodeId reader = readers_[value][0];
    return graph_.nodes[reader].op == op && !taken_[reader] ? reader : kNone;
  }

  bool extend(Step& step, NodeId node, NodeId& slot) {
    if (node == kNone) {
      return false;
    }
    slot = node;
    step.nodes.push_back(node);
    step.value = node + 1;
    taken_[node] = true;
    place_ = node;
    return true;
  }

  Step chain(NodeId node) {
    Step step = single(graph_, node);
    taken_[node] = true;
    place_ = node;
    Chain& chain = step.chain;
    extend(step, only_reader(step.value, Op::kAffine), chain.affine);
    extend_add(step);
    extend(step, only_reader(step.value, Op::kPrelu), chain.prelu);
    const NodeId shift = only_reader(step.value, Op::kAffine);
    if (shift != kNone && has_unit_scale(shift)) {
      extend(step, shift, chain.shift);
    }
    extend_sign(step);
    return step;
  }

  void extend_add(Step& step) {
    const NodeId add = only_reader(step.value, Op::kAdd);
    if (add == kNone) {
      return;
    }
    const std::vector<ValueId>& inputs = graph_.nodes[add].inputs;
    ValueId shortcut = inputs[0] == step.value ? inputs[1] : inputs[0];
    if (!(graph_.values[shortcut].shape == graph_.values[step.value].shape)) {
      return;  // one of the two is a vector for all pixels: the add's own kernel knows how
    }
    const bool repeats =
        shortcut > 0 && graph_.nodes[shortcut - 1].op == Op::kRepeat && only_reader(shortcut, Op::kAdd) == add;
    if (repeats) {
      step.chain.repeat = shortcut - 1;
      step.nodes.push_back(shortcut - 1);
      taken_[shortcut - 1] = true;
      shortcut = graph_.nodes[shortcut - 1].inputs[0];
    }
    step.inputs.push_back(shortcut);
    extend(step, add, step.chain.add);
  }

  void extend_sign(Step& step) {
    const std::vector<NodeId>& readers = readers_[step.value];
    const auto sign = std::find_if(readers.begin(), readers.end(),
                                   [this](NodeId reader) { return graph_.nodes[reader].op == Op::kSign; });
    if (sign == readers.end()) {
      return;
    }
    step.chain.sign = *sign;
    step.nodes.push_back(*sign);
    taken_[*sign] = true;
    step.bits = *sign + 1;
    if (readers.size() == 1 && step.value != graph_.output) {
      step.value = kNone;
    }
  }

  bool has_unit_scale(NodeId affine) const {
    const float* scale = weights_.node(affine).real(Role::kScale);
    const std::int64_t channels = graph_.made_by(affine).shape.channels;
    return std::all_of(scale, scale + channels, [](float x) { return x == 1.0F; });
  }

  const Graph& graph_;
  const Weights& weights_;
  std::vector<std::vector<NodeId>> readers_;
  std::vector<bool> taken_;
  NodeId place_ = 0;  // of the chain being built
};

}  // namespace

std::vector<Step> fuse(const Graph& graph, const Weights& weights) { return Fuser(graph, weights).run(); }

std::vector<Step> one_step_a_node(const Graph& graph) {
  std::vector<Step> steps;
  for (NodeId node = 0; node < graph.nodes.size(); ++node) {
    steps.push_back(Fuser::single(graph, node));
  }
  return steps;
}

}  // namespace reactnet
