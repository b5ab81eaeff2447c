// A kernel for each node, and its constants as that kernel wants them: chosen and repacked once, when a model is
// opened.
#ifndef REACTNET_SRC_BIND_H_
#define REACTNET_SRC_BIND_H_

#include <array>
#include <cstdint>
#include <variant>
#include <vector>

#include "aligned.h"
#include "bconv2d/bconv2d.h"
#include "channels/channels.h"
#include "conv_f32/conv_f32.h"
#include "conv_i8/conv_i8.h"
#include "conv_u8/conv_u8.h"
#include "elementwise/elementwise.h"
#include "graph.h"
#include "isa.h"
#include "linear_f32/linear_f32.h"
#include "linear_i8/linear_i8.h"
#include "normalize/normalize.h"
#include "pool/pool.h"
#include "quantize/quantize.h"
#include "sign/sign.h"

namespace reactnet {

using Kernel = std::variant<const NormalizeKernel*, const ConvF32Kernel*, const ConvU8Kernel*, const QuantizeKernel*,
                            const ConvI8Kernel*, const LinearF32Kernel*, const LinearI8Kernel*, const SignKernel*,
                            const BConv2dKernel*, const ElementwiseKernel*, const ChannelsKernel*, const PoolKernel*>;

struct BoundNode {
  Kernel kernel;
  const char* kernel_name = nullptr;
  Window window = {};                           // of convolutions and pools
  const void* packed = nullptr;                 // weights, by the kernel's own layout
  std::array<const float*, kRoles> reals = {};  // all f32 constants but weights; null where the node has none
  std::int64_t weight_bits = 0;                 // of conv_u8

  const float* real(Role role) const { return reals[static_cast<std::size_t>(role)]; }
};

class Weights {
 public:
  Weights() = default;
  // Copies what it needs of the graph's tensors, and takes them away: the memory of each goes when it has been read for
  // the last time, so that a file and its repacked weights are never in memory whole together. Faults: MEMORY.
  Weights(Graph& graph, Isa ceiling);

  const BoundNode& node(NodeId id) const { return nodes_[id]; }
  const ElementwiseKernel* elementwise() const { return elementwise_; }  // the one for every node
  std::uint64_t bytes() const { return bytes_; }
  // What the most demanding kernel wants beside the arena, for each thread; a multiple of kAlignment.
  std::uint64_t scratch_bytes() const { return scratch_bytes_; }

 private:
  void bind(const Graph& graph, NodeId id, Isa ceiling);
  void bind_weights(const Graph& graph, NodeId id, Isa ceiling);
  void copy_reals(const Node& node, BoundNode& bound);
  std::uint8_t* allocate(std::uint64_t bytes);

  std::vector<BoundNode> nodes_;
  const ElementwiseKernel* elementwise_ = nullptr;
  std::vector<AlignedMemory> memory_;  // few, so that they can be large pages
  std::uint8_t* free_ = nullptr;       // of the last
  std::uint64_t left_ = 0;
  std::uint64_t expected_ = 0;  // bytes that nodes to come may ask for
  std::uint64_t bytes_ = 0;
  std::uint64_t scratch_bytes_ = 0;
};

// The shapes that kernels are chosen and called with.
BConv2dShape bconv2d_shape(const Graph& graph, NodeId id, const BoundNode& bound);
ConvF32Shape conv_f32_shape(const Graph& graph, NodeId id, const BoundNode& bound);
ConvU8Shape conv_u8_shape(const Graph& graph, NodeId id, const BoundNode& bound);
ConvI8Shape conv_i8_shape(const Graph& graph, NodeId id, const BoundNode& bound);
LinearF32Shape linear_f32_shape(const Graph& graph, NodeId id);
LinearI8Shape linear_i8_shape(const Graph& graph, NodeId id);

}  // namespace reactnet

#endif  // REACTNET_SRC_BIND_H_
