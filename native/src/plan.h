// The order of work: steps of one or more nodes, and a place in the arena for each value that reaches memory.
// A plan fuses; it never changes a result.
#ifndef REACTNET_SRC_PLAN_H_
#define REACTNET_SRC_PLAN_H_

#include <cstdint>
#include <vector>

#include "bind.h"
#include "graph.h"

namespace reactnet {

inline constexpr std::uint32_t kNone = UINT32_MAX;

// Nodes behind a bconv2d that its kernel does in the same pass, in this order; kNone where the chain has none.
struct Chain {
  NodeId affine = kNone;
  NodeId repeat = kNone;  // feeds the add's shortcut, and nothing else
  NodeId add = kNone;
  NodeId prelu = kNone;
  NodeId shift = kNone;  // an affine whose scale is all ones
  NodeId sign = kNone;
};

struct Step {
  NodeId node = 0;              // the first one: its op names the kernel
  std::vector<NodeId> nodes;    // all that it covers
  std::vector<ValueId> inputs;  // what it reads; of a chain with an add, the last is the shortcut
  ValueId value = kNone;        // what it writes: f32 of a chain, or the node's own value
  ValueId bits = kNone;         // the sign at the end of a chain
  Chain chain;
};

struct Plan {
  std::vector<Step> steps;
  std::vector<std::uint64_t> offsets;  // of each value in the arena; kOutside: it has no place there
  std::uint64_t arena_bytes = 0;
};

inline constexpr std::uint64_t kOutside = UINT64_MAX;
// Words of 64 bits of one pixel of a bits value.
inline std::int64_t pixel_words(const Shape& shape) { return (shape.channels + 63) / 64; }

// Bytes of a value: f32, packed bits, or i8 followed, at the next multiple of four, by the f32 scale.
std::uint64_t value_bytes(const Value& value);

// Fused, with values sharing memory; or, with `keep`, a step a node and memory of its own for every value.
Plan make_plan(const Graph& graph, const Weights& weights, bool keep);

}  // namespace reactnet

#endif  // REACTNET_SRC_PLAN_H_
