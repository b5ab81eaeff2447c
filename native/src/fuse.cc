// bconv2d -> affine -> add(shortcut) -> prelu -> affine of unit scale -> sign, each but the first optional, is the
// chain that a bconv2d's kernel does by itself. Behind it, behind any other op that makes rows, and by themselves go
// element-wise nodes in any order; then a sign and a pool. A normalize goes with the convolution that reads it, a slice
// with the concat that does.
//
// A value inside a step has one reader, so nobody misses it. The last f32 value may have more: then it is written out.
// A step stands where its last f32 node stands: whatever it reads is done by then, and whoever reads its values comes
// later. Its sign and its pool are pulled forward, as they read nothing else.
#include "fuse.h"

#include <algorithm>

namespace reactnet {
namespace {

constexpr std::uint64_t kMaxRows = std::uint64_t{1} << 22;  // bytes of rows that a thread may have at hand

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
      if (!taken_[node] && !goes_with_its_reader(node)) {
        Step step = head(node);
        placed.push_back({place_, std::move(step)});
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
    if (is_elementwise(graph.nodes[node].op)) {
      step.stages.push_back({node, step.inputs.size() == 2 ? step.inputs[1] : kNone});
    }
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

  // A bconv2d, with what goes with it.
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
    extend_stages(step);
    if (step.stages.empty()) {
      chain.sign = take_reader(step, [this](NodeId reader) { return graph_.nodes[reader].op == Op::kSign; });
      step.bits = chain.sign == kNone ? kNone : chain.sign + 1;
      extend_pool(step);
    } else {
      extend_ends(step);
    }
    drop_value_that_nobody_reads(step);
    return step;
  }

  // Any other node, with what goes with it.
  Step head(NodeId node) {
    Step step = single(graph_, node);
    const bool brings_normalize =
        graph_.nodes[node].op == Op::kConvF32 && step.inputs[0] != 0 && goes_with_its_reader(step.inputs[0] - 1);
    taken_[node] = true;
    place_ = node;
    take_slices(step);
    if (!makes_rows(graph_.nodes[node].op) || row_bytes(step.value) > kMaxRows) {
      return step;
    }
    if (brings_normalize) {
      step.normalize = step.inputs[0] - 1;
      step.inputs[0] = graph_.nodes[step.normalize].inputs[0];
      step.nodes.insert(step.nodes.begin(), step.normalize);
      taken_[step.normalize] = true;
    }
    extend_stages(step);
    extend_ends(step);
    drop_value_that_nobody_reads(step);
    return step;
  }

  // A concat copies channels: those of a slice it finds in the slice's input.
  void take_slices(Step& step) {
    if (graph_.nodes[step.node].op != Op::kConcat) {
      return;
    }
    for (ValueId& input : step.inputs) {
      const bool taken = input != 0 && goes_with_its_reader(input - 1);
      step.slices.push_back(taken ? input - 1 : kNone);
      if (taken) {
        step.nodes.insert(step.nodes.begin(), input - 1);
        taken_[input - 1] = true;
        input = graph_.nodes[input - 1].inputs[0];
      }
    }
  }

  // A normalize that one conv_f32 reads, and nothing else; or a slice that one concat does.
  bool goes_with_its_reader(NodeId node) const {
    if (graph_.nodes[node].op == Op::kSlice) {
      return readers_[node + 1].size() == 1 && graph_.nodes[readers_[node + 1][0]].op == Op::kConcat;
    }
    return graph_.nodes[node].op == Op::kNormalize && only_reader(node + 1, Op::kConvF32) != kNone &&
           row_bytes(node + 1) <= kMaxRows && row_bytes(only_reader(node + 1, Op::kConvF32) + 1) <= kMaxRows;
  }

  void extend_stages(Step& step) {
    if (row_bytes(step.value) > kMaxRows) {
      return;
    }
    while (step.stages.size() < kMaxStages && readers_[step.value].size() == 1 && step.value != graph_.output) {
      const NodeId reader = readers_[step.value][0];
      const std::vector<ValueId>& inputs = graph_.nodes[reader].inputs;
      if (taken_[reader] || !is_elementwise(graph_.nodes[reader].op)) {
        return;
      }
      Stage stage = {reader, kNone};
      if (inputs.size() == 2) {
        stage.second = inputs[0] == step.value ? inputs[1] : inputs[0];
        if (!(graph_.values[step.value].shape == graph_.made_by(reader).shape)) {
          return;  // the step's own value is the pixel that all pixels of the other one meet
        }
        step.inputs.push_back(stage.second);
      }
      NodeId node = kNone;
      extend(step, reader, node);
      step.stages.push_back(stage);
    }
  }

  void extend_ends(Step& step) {
    step.sign = take_reader(step, [this](NodeId reader) { return graph_.nodes[reader].op == Op::kSign; });
    step.bits = step.sign == kNone ? kNone : step.sign + 1;
    extend_pool(step);
  }

  // A pool whose windows tile the map, so that rows of windows are made of rows of the map that no other row needs; or
  // any pool that alone reads it, so that rows which two threads make are nobody else's.
  void extend_pool(Step& step) {
    const std::uint64_t row = row_bytes(step.value);
    const bool alone = readers_[step.value].size() == 1 && step.value != graph_.output;
    step.pool = take_reader(step, [this, row, alone](NodeId reader) {
      const Node& node = graph_.nodes[reader];
      const Attributes& at = node.attributes;
      return (node.op == Op::kAvgPool || node.op == Op::kMaxPool) && (alone || tiles(at)) &&
             row * static_cast<std::uint64_t>(at.kernel[0]) <= kMaxRows;
    });
    step.pooled = step.pool == kNone ? kNone : step.pool + 1;
  }

  // One of the readers of the step's value; there may be others.
  template <typename Wanted>
  NodeId take_reader(Step& step, Wanted wanted) {
    const std::vector<NodeId>& readers = readers_[step.value];
    const auto found =
        std::find_if(readers.begin(), readers.end(), [&](NodeId reader) { return !taken_[reader] && wanted(reader); });
    if (found == readers.end()) {
      return kNone;
    }
    step.nodes.push_back(*found);
    taken_[*found] = true;
    return *found;
  }

  void drop_value_that_nobody_reads(Step& step) const {
    const std::vector<NodeId>& readers = readers_[step.value];
    const NodeId sign = step.chain.sign == kNone ? step.sign : step.chain.sign;
    const bool within = std::all_of(readers.begin(), readers.end(),
                                    [&](NodeId reader) { return reader == sign || reader == step.pool; });
    if (within && step.value != graph_.output) {
      step.value = kNone;
    }
  }

  std::uint64_t row_bytes(ValueId value) const {
    const Value& of = graph_.values[value];
    return value_bytes(of) / static_cast<std::uint64_t>(of.shape.height);
  }

  static bool is_elementwise(Op op) { return op >= Op::kAffine && op <= Op::kClip; }

  static bool makes_rows(Op op) {
    switch (op) {
      case Op::kConvF32:
      case Op::kConvU8:
      case Op::kConvI8:
      case Op::kConcat:
      case Op::kSlice:
      case Op::kRepeat:
      case Op::kAvgPool:
      case Op::kMaxPool:
      case Op::kAdaptiveAvgPool:
      case Op::kGlobalAvgPool:
        return true;
      default:
        return is_elementwise(op);
    }
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
