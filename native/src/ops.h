// The closed op set of format 1 as data: kinds, constants, attributes, and a shape rule for each op.
#ifndef REACTNET_SRC_OPS_H_
#define REACTNET_SRC_OPS_H_

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "graph.h"

namespace reactnet {

inline constexpr std::int64_t kMaxSide = 65536;  // of a height, a width, a number of channels, a stride, a kernel
inline constexpr std::size_t kMaxInputs = 64;

struct AttributeSpec {
  const char* name;
  Pair Attributes::* pair;            // one of the two is null
  std::int64_t Attributes::* number;  //
  std::int64_t low;
  std::int64_t high;
  bool boolean;
};

struct ConstantSpec {
  Role role;
  std::uint8_t dtypes;  // bit d: Dtype d is allowed
  bool required;
};

// The shape that each constant must have; empty: any.
using Expected = std::array<std::vector<std::int64_t>, kRoles>;

// The output's shape, and what the constants' must be. Throws a Fault that does not name the node.
using Rule = Shape (*)(const std::vector<Shape>& inputs, const Node& node, Expected& expected);

struct OpSpec {
  Op op;
  const char* name;
  std::vector<Kind> inputs;
  bool variadic;  // 1 to 64 inputs of the one kind listed
  Kind output;
  Rule rule;
  std::vector<ConstantSpec> constants;
  std::vector<AttributeSpec> attributes;
};

const char* role_name(Role role);
const char* op_name(Op op);
const OpSpec* find_op(std::string_view name);  // null: unknown

}  // namespace reactnet

#endif  // REACTNET_SRC_OPS_H_
