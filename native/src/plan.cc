#include "plan.h"

#include <algorithm>
#include <map>

#include "aligned.h"
#include "fuse.h"
#include "rows.h"

namespace reactnet {
namespace {

std::uint64_t aligned(std::uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Memory that is not yet made: hands out the smallest free block that fits, and grows at the end.
class Allocator {
 public:
  std::uint64_t take(std::uint64_t bytes) {
    auto best = free_.end();
    for (auto block = free_.begin(); block != free_.end(); ++block) {
      if (block->second >= bytes && (best == free_.end() || block->second < best->second)) {
        best = block;
      }
    }
    if (best == free_.end()) {
      return grow(bytes);
    }
    const auto [offset, size] = *best;
    free_.erase(best);
    if (size > bytes) {
      free_.emplace(offset + bytes, size - bytes);
    }
    return offset;
  }

  void give(std::uint64_t offset, std::uint64_t bytes) {
    auto block = free_.emplace(offset, bytes).first;
    const auto after = std::next(block);
    if (after != free_.end() && offset + bytes == after->first) {
      block->second += after->second;
      free_.erase(after);
    }
    if (block != free_.begin()) {
      const auto before = std::prev(block);
      if (before->first + before->second == offset) {
        before->second += block->second;
        free_.erase(block);
      }
    }
  }

  std::uint64_t size() const { return size_; }

 private:
  std::uint64_t grow(std::uint64_t bytes) {
    std::uint64_t offset = size_;
    if (!free_.empty() && free_.rbegin()->first + free_.rbegin()->second == size_) {
      offset = free_.rbegin()->first;  // the last block is free but too small: it becomes larger
      free_.erase(offset);
    }
    size_ = offset + bytes;
    return offset;
  }

  std::map<std::uint64_t, std::uint64_t> free_;  // offset -> bytes
  std::uint64_t size_ = 0;
};

// The index of the last step that reads each value; the output is read after the end.
std::vector<std::size_t> last_reads(const Graph& graph, const std::vector<Step>& steps) {
  std::vector<std::size_t> last(graph.values.size(), 0);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    for (const ValueId input : steps[i].inputs) {
      last[input] = i;
    }
  }
  last[graph.output] = steps.size();
  return last;
}

void place_apart(const Graph& graph, Plan& plan) {
  for (ValueId value = 1; value < graph.values.size(); ++value) {
    plan.offsets[value] = plan.arena_bytes;
    plan.arena_bytes += aligned(value_bytes(graph.values[value]));
  }
}

// The value whose first channels a concat begins with: they may stay where they are, if it reads no others.
ValueId grown_value(const Graph& graph, const Step& step) {
  const bool grows = !step.slices.empty() && step.slices[0] != kNone && step.value == step.node + 1 &&
                     graph.nodes[step.slices[0]].attributes.begin == 0;
  return grows && std::count(step.inputs.begin(), step.inputs.end(), step.inputs[0]) == 1 ? step.inputs[0] : kNone;
}

// The input, of the output's size, whose place the output may take: each element is read, by the thread that writes it,
// before it is written, and nowhere else. `free` says whether this step is the value's last reader. kNone: none such.
template <typename Free>
ValueId overwritable_input(const Graph& graph, const Step& step, Free free) {
  std::vector<ValueId> candidates;
  if (step.chain.add != kNone && step.chain.repeat == kNone) {
    candidates.push_back(step.inputs[1]);
  }
  if (step.is_elementwise()) {
    candidates.push_back(step.inputs[0]);
  }
  for (const Stage& stage : step.stages) {
    candidates.push_back(stage.second);
  }
  candidates.push_back(grown_value(graph, step));
  // What the head itself reads it reads in another order, unless it is element-wise.
  const std::vector<ValueId> none;
  const std::vector<ValueId>& head = step.is_elementwise() ? none : graph.nodes[step.node].inputs;
  for (const ValueId value : candidates) {
    if (value != kNone && value != 0 && free(value) && std::find(head.begin(), head.end(), value) == head.end() &&
        graph.values[value].shape == graph.values[step.value].shape) {
      return value;
    }
  }
  return kNone;
}

void place_sharing(const Graph& graph, Plan& plan) {
  const std::vector<std::size_t> last = last_reads(graph, plan.steps);
  Allocator allocator;
  const auto bytes = [&graph](ValueId value) { return aligned(value_bytes(graph.values[value])); };
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    std::vector<ValueId> done;  // read here for the last time
    for (const ValueId input : step.inputs) {
      if (input != 0 && last[input] == i && std::find(done.begin(), done.end(), input) == done.end()) {
        done.push_back(input);
      }
    }
    if (step.value != kNone) {
      const auto is_done = [&done](ValueId value) { return std::find(done.begin(), done.end(), value) != done.end(); };
      const ValueId reused = overwritable_input(graph, step, is_done);
      if (reused != kNone) {
        plan.offsets[step.value] = plan.offsets[reused];
        done.erase(std::find(done.begin(), done.end(), reused));
      } else {
        plan.offsets[step.value] = allocator.take(bytes(step.value));
      }
    }
    for (const ValueId end : {step.bits, step.pooled}) {
      if (end != kNone) {
        plan.offsets[end] = allocator.take(bytes(end));
      }
    }
    for (const ValueId value : done) {
      allocator.give(plan.offsets[value], bytes(value));
    }
  }
  plan.arena_bytes = allocator.size();
}

}  // namespace

std::uint64_t value_bytes(const Value& value) {
  const auto elements = static_cast<std::uint64_t>(value.shape.elements());
  switch (value.kind) {
    case Kind::kU8:
      return elements;
    case Kind::kF32:
      return elements * 4;
    case Kind::kBits:
      return static_cast<std::uint64_t>(value.shape.pixels() * pixel_words(value.shape)) * 8;
    case Kind::kI8:
      return (elements + 3) / 4 * 4 + 4;
  }
  return 0;
}

Plan make_plan(const Graph& graph, const Weights& weights, bool keep) {
  Plan plan;
  plan.steps = keep ? one_step_a_node(graph) : fuse(graph, weights);
  plan.offsets.assign(graph.values.size(), kOutside);
  for (Step& step : plan.steps) {
    step.rows = rows_at_hand(graph, weights, step);
    plan.rows_bytes = std::max(plan.rows_bytes, rows_layout(graph, weights, step).bytes);
  }
  if (keep) {
    place_apart(graph, plan);
  } else {
    place_sharing(graph, plan);
  }
  return plan;
}

}  // namespace reactnet
