#include "bind.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

#include "fault.h"
#include "pages.h"

namespace reactnet {
namespace {

// Many nodes of a hostile file may name one tensor; each has a copy of its own.
constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 33;
constexpr std::uint64_t kMaxChunk = std::uint64_t{1} << 26;  // unless one tensor is larger

const Shape& input_shape(const Graph& graph, NodeId id) { return graph.values[graph.nodes[id].inputs[0]].shape; }

Window make_window(const Graph& graph, NodeId id, const Pair& kernel) {
  const Shape& in = input_shape(graph, id);
  const Shape& out = graph.made_by(id).shape;
  const Attributes& at = graph.nodes[id].attributes;
  return {in.height, in.width,     out.height,   out.width,     kernel[0],
          kernel[1], at.stride[0], at.stride[1], at.padding[0], at.padding[1]};
}

// Exact: every f16 is an f32.
float decode_f16(std::uint16_t half) {
  const std::uint32_t exponent = (half >> 10) & 0x1F;
  const std::uint32_t fraction = half & 0x3FF;
  const float magnitude = exponent == 0 ? static_cast<float>(fraction) * 0x1p-24F
                                        : static_cast<float>(fraction + 0x400) * 0x1p-25F *
                                              static_cast<float>(std::uint32_t{1} << exponent);
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

// Weights as float32: those of the file where they are (a head has megabytes), halves decoded into `room`.
const float* real_weight(const Tensor& tensor, std::vector<float>& room) {
  if (tensor.dtype == Dtype::kF32) {
    return tensor.as<float>();
  }
  room.resize(tensor.count);
  for (std::size_t i = 0; i < tensor.count; ++i) {
    room[i] = decode_f16(tensor.as<std::uint16_t>()[i]);
  }
  return room.data();
}

// Of its constants in the file: about what they will take in memory.
std::uint64_t constant_bytes(const Node& node) {
  std::uint64_t bytes = 0;
  for (const Tensor* tensor : node.constants) {
    bytes += tensor == nullptr ? 0 : tensor->count * dtype_bytes(tensor->dtype);
  }
  return bytes;
}

}  // namespace

BConv2dShape bconv2d_shape(const Graph& graph, NodeId id, const BoundNode& bound) {
  const Attributes& at = graph.nodes[id].attributes;
  return {bound.window, input_shape(graph, id).channels, graph.made_by(id).shape.channels, at.groups, at.padding_value};
}

ConvF32Shape conv_f32_shape(const Graph& graph, NodeId id, const BoundNode& bound) {
  return {bound.window, input_shape(graph, id).channels, graph.made_by(id).shape.channels,
          graph.nodes[id].attributes.groups};
}

ConvU8Shape conv_u8_shape(const Graph& graph, NodeId id, const BoundNode& bound) {
  return {bound.window, input_shape(graph, id).channels, graph.made_by(id).shape.channels, bound.weight_bits};
}

ConvI8Shape conv_i8_shape(const Graph& graph, NodeId id, const BoundNode& bound) {
  return {bound.window, input_shape(graph, id).channels, graph.made_by(id).shape.channels,
          graph.nodes[id].attributes.groups};
}

LinearF32Shape linear_f32_shape(const Graph& graph, NodeId id) {
  return {input_shape(graph, id).elements(), graph.made_by(id).shape.channels};
}

LinearI8Shape linear_i8_shape(const Graph& graph, NodeId id) {
  return {input_shape(graph, id).elements(), graph.made_by(id).shape.channels};
}

Weights::Weights(Graph& graph, Isa ceiling) : nodes_(graph.nodes.size()), elementwise_(choose_elementwise(ceiling)) {
  std::map<const Tensor*, NodeId> last_reader;
  for (const Node& node : graph.nodes) {
    expected_ += constant_bytes(node);
  }
  for (NodeId id = 0; id < graph.nodes.size(); ++id) {
    for (const Tensor* tensor : graph.nodes[id].constants) {
      last_reader[tensor] = id;
    }
  }
  for (NodeId id = 0; id < graph.nodes.size(); ++id) {
    copy_reals(graph.nodes[id], nodes_[id]);
    bind(graph, id, ceiling);
    expected_ -= constant_bytes(graph.nodes[id]);
    nodes_[id].kernel_name = std::visit([](const auto* kernel) { return kernel->name; }, nodes_[id].kernel);
    for (const Tensor*& tensor : graph.nodes[id].constants) {
      if (tensor != nullptr && last_reader[tensor] == id) {
        forget_pages(tensor->data, tensor->count * dtype_bytes(tensor->dtype));
      }
      tensor = nullptr;
    }
  }
}

std::uint8_t* Weights::allocate(std::uint64_t bytes) {
  if (bytes > kMaxBytes || bytes_ + bytes > kMaxBytes) {
    fail(REACTNET_ERROR_MEMORY, "the weights take more than 8 GiB in memory", "use a smaller network");
  }
  bytes_ += bytes;
  const std::uint64_t needed = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (needed > left_) {
    left_ = std::max(needed, std::min(expected_, kMaxChunk));
    memory_.emplace_back(left_);
    free_ = memory_.back().data();
  }
  std::uint8_t* block = free_;
  free_ += needed;
  left_ -= needed;
  return block;
}

void Weights::copy_reals(const Node& node, BoundNode& bound) {
  for (std::size_t role = 0; role < kRoles; ++role) {
    const Tensor* tensor = node.constants[role];
    if (tensor != nullptr && tensor->dtype == Dtype::kF32 && static_cast<Role>(role) != Role::kWeight) {
      std::uint8_t* copy = allocate(tensor->count * sizeof(float));
      std::memcpy(copy, tensor->data, tensor->count * sizeof(float));
      bound.reals[role] = reinterpret_cast<const float*>(copy);
    }
  }
}

void Weights::bind(const Graph& graph, NodeId id, Isa ceiling) {
  BoundNode& bound = nodes_[id];
  switch (graph.nodes[id].op) {
    case Op::kNormalize:
      bound.kernel = choose_normalize(ceiling);
      break;
    case Op::kQuantize:
      bound.kernel = choose_quantize(ceiling);
      break;
    case Op::kSign:
      bound.kernel = choose_sign(ceiling);
      break;
    case Op::kConvF32:
    case Op::kConvU8:
    case Op::kConvI8:
    case Op::kLinearF32:
    case Op::kLinearI8:
    case Op::kBConv2d:
      bind_weights(graph, id, ceiling);
      break;
    case Op::kConcat:
    case Op::kSlice:
    case Op::kRepeat:
      bound.kernel = choose_channels(ceiling);
      break;
    case Op::kAvgPool:
    case Op::kMaxPool:
    case Op::kAdaptiveAvgPool:
    case Op::kGlobalAvgPool:
      bound.kernel = choose_pool(ceiling);
      bound.window = make_window(graph, id, graph.nodes[id].attributes.kernel);
      break;
    default:
      bound.kernel = elementwise_;
      break;
  }
}

void Weights::bind_weights(const Graph& graph, NodeId id, Isa ceiling) {
  const Node& node = graph.nodes[id];
  const Tensor& weight = *node.constant(Role::kWeight);
  BoundNode& bound = nodes_[id];
  std::vector<float> room;
  bound.weight_bits = weight.dtype == Dtype::kI16 ? 16 : 8;
  if (weight.shape.size() == 4) {
    bound.window = make_window(graph, id, {weight.shape[1], weight.shape[2]});
  }
  const auto pack = [&](const auto* kernel, const auto& shape, const auto*... constants) {
    std::uint8_t* packed = allocate(kernel->packed_bytes(shape));
    kernel->pack(shape, constants..., packed);
    bound.packed = packed;
    bound.kernel = kernel;
  };
  if (node.op == Op::kBConv2d) {
    const BConv2dShape shape = bconv2d_shape(graph, id, bound);
    const BConv2dKernel* kernel = choose_bconv2d(shape, ceiling);
    pack(kernel, shape, weight.as<std::uint64_t>());
    const std::uint64_t scratch = (kernel->scratch_bytes(shape) + kAlignment - 1) / kAlignment * kAlignment;
    scratch_bytes_ = std::max(scratch_bytes_, scratch);
  } else if (node.op == Op::kConvF32) {
    const ConvF32Shape shape = conv_f32_shape(graph, id, bound);
    pack(choose_conv_f32(shape, ceiling), shape, real_weight(weight, room));
  } else if (node.op == Op::kLinearF32) {
    const LinearF32Shape shape = linear_f32_shape(graph, id);
    pack(choose_linear_f32(shape, ceiling), shape, real_weight(weight, room));
  } else if (node.op == Op::kConvU8) {
    const ConvU8Shape shape = conv_u8_shape(graph, id, bound);
    pack(choose_conv_u8(shape, ceiling), shape, weight.as<std::uint8_t>(),
         node.constant(Role::kOffset)->as<std::int32_t>());
  } else if (node.op == Op::kConvI8) {
    const ConvI8Shape shape = conv_i8_shape(graph, id, bound);
    pack(choose_conv_i8(shape, ceiling), shape, weight.as<std::int8_t>());
  } else {
    const LinearI8Shape shape = linear_i8_shape(graph, id);
    pack(choose_linear_i8(shape, ceiling), shape, weight.as<std::int8_t>());
  }
}

}  // namespace reactnet
