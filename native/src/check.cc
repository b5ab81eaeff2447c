#include "check.h"

#include <cmath>

#include "fault.h"

namespace reactnet {
namespace {

constexpr std::int64_t kMaxElements = std::int64_t{1} << 28;
constexpr std::int64_t kMaxSum = 0x7FFFFFFF;

[[noreturn]] void fault(const std::string& problem, std::string_view hint) {
  fail(REACTNET_ERROR_FORMAT, problem, hint);
}

std::string text(const std::vector<std::int64_t>& shape) {
  std::string sides;
  for (const std::int64_t side : shape) {
    sides += (sides.empty() ? "[" : ", ") + std::to_string(side);
  }
  return sides + "]";
}

bool is_finite(const Tensor& tensor) {
  bool finite = true;
  if (tensor.dtype == Dtype::kF32) {
    for (std::size_t i = 0; i < tensor.count; ++i) {
      finite = finite && std::isfinite(tensor.as<float>()[i]);
    }
  } else if (tensor.dtype == Dtype::kF16) {
    for (std::size_t i = 0; i < tensor.count; ++i) {
      finite = finite && (tensor.as<std::uint16_t>()[i] & 0x7C00) != 0x7C00;
    }
  }
  return finite;
}

void check_shapes(const Node& node, const OpSpec& op, const Expected& expected) {
  for (const ConstantSpec& spec : op.constants) {
    const Tensor* tensor = node.constant(spec.role);
    const std::vector<std::int64_t>& wanted = expected[static_cast<std::size_t>(spec.role)];
    if (tensor != nullptr && tensor->shape != wanted) {
      fault(std::string("constant '") + role_name(spec.role) + "' has shape " + text(tensor->shape),
            "use " + text(wanted));
    }
  }
}

void check_tail_bits(const Tensor& weight, std::int64_t channels) {
  const auto words = static_cast<std::size_t>((channels + 63) / 64);
  const auto used = static_cast<unsigned>(channels % 64);
  for (std::size_t last = words - 1; used != 0 && last < weight.count; last += words) {
    if (weight.as<std::uint64_t>()[last] >> used != 0) {
      fault("weight has bits set past channel " + std::to_string(channels), "write tail bits as 0");
    }
  }
}

template <typename T>
std::int64_t row_sum(const Tensor& tensor, std::size_t row, std::size_t length) {
  std::int64_t sum = 0;
  for (std::size_t i = row * length; i < (row + 1) * length; ++i) {
    const auto value = static_cast<std::int64_t>(tensor.as<T>()[i]);
    sum += value < 0 ? -value : value;
  }
  return sum;
}

// At most 2^30 elements of 15 bits times 255: no overflow in int64.
void check_sums(const Node& node, std::int64_t most_input) {
  const Tensor& weight = *node.constant(Role::kWeight);
  const Tensor* offset = node.constant(Role::kOffset);
  const auto rows = static_cast<std::size_t>(weight.shape[0]);
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t length = weight.count / rows;
    std::int64_t most = weight.dtype == Dtype::kI16 ? row_sum<std::int16_t>(weight, row, length)
                                                    : row_sum<std::int8_t>(weight, row, length);
    most *= most_input;
    if (offset != nullptr) {
      most += row_sum<std::int32_t>(*offset, row, offset->count / rows);
    }
    if (most > kMaxSum) {
      fault("sum " + std::to_string(row) + " may reach " + std::to_string(most) + ", past int32",
            "use smaller integer weights");
    }
  }
}

void check_numbers(const Node& node, const Shape& input) {
  switch (node.op) {
    case Op::kBConv2d:
      check_tail_bits(*node.constant(Role::kWeight), input.channels / node.attributes.groups);
      break;
    case Op::kClip: {
      const float* bounds = node.constant(Role::kBounds)->as<float>();
      if (bounds[0] > bounds[1]) {
        fault("bounds are " + std::to_string(bounds[0]) + " and " + std::to_string(bounds[1]), "use lo <= hi");
      }
      break;
    }
    case Op::kConvU8:
      check_sums(node, 255);
      break;
    case Op::kConvI8:
    case Op::kLinearI8:
      check_sums(node, 127);
      break;
    default:
      break;
  }
}

}  // namespace

void check_finite(const PackedFile& file) {
  for (const auto& [name, tensor] : file.tensors) {
    if (!is_finite(tensor)) {
      fault("tensor " + quote(name) + " holds a NaN or an infinity", "use finite numbers");
    }
  }
}

void check_value_shape(const Shape& shape, const std::string& where) {
  for (const std::int64_t side : {shape.height, shape.width, shape.channels}) {
    if (side < 1 || side > kMaxSide) {
      fault(where + ": a side of " + std::to_string(side) + " is out of limits", "use sides from 1 to 65536");
    }
  }
  if (shape.elements() > kMaxElements) {
    fault(where + ": " + std::to_string(shape.elements()) + " elements", "use at most 2^28");
  }
}

Shape check_node(const Node& node, const OpSpec& op, const Graph& graph) {
  std::vector<Shape> inputs;
  for (const ValueId input : node.inputs) {
    inputs.push_back(graph.values[input].shape);
  }
  Expected expected;
  const Shape shape = op.rule(inputs, node, expected);
  check_shapes(node, op, expected);
  check_value_shape(shape, "output");
  check_numbers(node, inputs[0]);
  return shape;
}

void check_uses(const Graph& graph, const PackedFile& file) {
  const Value& output = graph.values[graph.output];
  if (output.kind != Kind::kF32 || output.shape.pixels() != 1) {
    fault("output " + quote(output.name) + " is " + kind_name(output.kind) + " of " +
              std::to_string(output.shape.height) + "x" + std::to_string(output.shape.width),
          "use an f32 value of shape [1, 1, K]");
  }
  for (const Value& value : graph.values) {
    if (&value != &output && value.uses == 0) {
      fault("value " + quote(value.name) + " is used by no node", "remove it or make it the output");
    }
  }
  for (const auto& [name, tensor] : file.tensors) {
    if (!tensor.used) {
      fault("tensor " + quote(name) + " is used by no node", "remove it");
    }
  }
}

}  // namespace reactnet
