// The order of work: steps of one or more nodes, and a place in the arena for each value that reaches memory.
// A plan fuses; it never changes a result.
#ifndef REACTNET_SRC_PLAN_H_
#define REACTNET_SRC_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bind.h"
#include "graph.h"

namespace reactnet {

inline constexpr std::uint32_t kNone = UINT32_MAX;
inline constexpr std::size_t kMaxStages = 16;  // of a step

// Nodes behind a bconv2d that its kernel does in the same pass, in this order; kNone where the chain has none.
struct Chain {
  NodeId affine = kNone;
  NodeId repeat = kNone;  // feeds the add's shortcut, and nothing else
  NodeId add = kNone;
  NodeId prelu = kNone;
  NodeId shift = kNone;  // an affine whose scale is all ones
  NodeId sign = kNone;
};

// An element-wise node, done on the rows that its step has at hand.
struct Stage {
  NodeId node;
  ValueId second = kNone;  // of add and mul: the input that is not the step's own
};

// A head, then stages, a sign and a pool on its rows while they are near. A head that is element-wise is the first
// stage.
struct Step {
  NodeId node = 0;              // the head: its op names the kernel
  std::vector<NodeId> nodes;    // all that it covers
  std::vector<ValueId> inputs;  // what it reads: the head's inputs, a chain's shortcut, what stages add or multiply
  ValueId value = kNone;        // what it writes: f32 of the last stage, or the node's own value
  ValueId bits = kNone;         // the sign's
  ValueId pooled = kNone;       // the pool's
  Chain chain;
  NodeId normalize = kNone;  // of a conv_f32: its input is looked up a few rows at a time
  std::vector<NodeId> slices;   // of a concat, for each input: a slice whose channels are read where they lie; or kNone
  std::vector<Stage> stages;
  NodeId sign = kNone;    // behind the stages; a chain without stages has its own
  NodeId pool = kNone;    // behind the stages; where its windows do not tile the map, nobody else reads that
  std::int64_t rows = 0;  // of the head's map at a time, of tiles a multiple of the stride; 0: no need to cut

  bool is_elementwise() const { return !stages.empty() && stages[0].node == node; }
};

struct Plan {
  std::vector<Step> steps;
  std::vector<std::uint64_t> offsets;  // of each value in the arena; kOutside: it has no place there
  std::uint64_t arena_bytes = 0;
  std::uint64_t rows_bytes = 0;  // of the rows that steps have at hand, for each thread; a multiple of kAlignment
};

inline constexpr std::uint64_t kOutside = UINT64_MAX;

// The windows of a pool lie side by side and cover the map from its first row on.
inline bool tiles(const Attributes& pool) { return pool.kernel == pool.stride && pool.padding == Pair{0, 0}; }

// Words of 64 bits of one pixel of a bits value.
inline std::int64_t pixel_words(const Shape& shape) { return (shape.channels + 63) / 64; }

// Bytes of a value: f32, packed bits, or i8 followed, at the next multiple of four, by the f32 scale.
std::uint64_t value_bytes(const Value& value);

// Fused, with values sharing memory; or, with `keep`, a step a node and memory of its own for every value.
Plan make_plan(const Graph& graph, const Weights& weights, bool keep);

}  // namespace reactnet

#endif  // REACTNET_SRC_PLAN_H_
