// A checked network: nodes in order, each with its attributes, its constants and the kind and shape of its value.
#ifndef REACTNET_SRC_GRAPH_H_
#define REACTNET_SRC_GRAPH_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "file.h"

namespace reactnet {

enum class Op : std::uint8_t {
  kNormalize,
  kConvF32,
  kConvU8,
  kQuantize,
  kConvI8,
  kLinearF32,
  kLinearI8,
  kSign,
  kBConv2d,
  kAffine,
  kAdd,
  kMul,
  kPrelu,
  kRelu,
  kSigmoid,
  kHardSigmoid,
  kAbs,
  kClip,
  kConcat,
  kSlice,
  kRepeat,
  kAvgPool,
  kMaxPool,
  kAdaptiveAvgPool,
  kGlobalAvgPool
};

enum class Kind : std::uint8_t { kU8, kF32, kBits, kI8 };

const char* kind_name(Kind kind);

struct Shape {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;

  std::int64_t pixels() const { return height * width; }
  std::int64_t elements() const { return height * width * channels; }
  bool operator==(const Shape& other) const {
    return height == other.height && width == other.width && channels == other.channels;
  }
};

struct Value {
  std::string name;
  Kind kind = Kind::kF32;
  Shape shape;
  std::uint32_t uses = 0;  // inputs of nodes that name it
};

// A name's place in Graph::values: 0 is the image, i + 1 is made by node i.
using ValueId = std::uint32_t;
using NodeId = std::uint32_t;

using Pair = std::array<std::int64_t, 2>;

struct Attributes {
  Pair stride = {1, 1};
  Pair padding = {0, 0};
  Pair kernel = {1, 1};
  Pair size = {1, 1};
  std::int64_t groups = 1;
  std::int64_t padding_value = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t times = 1;
  std::int64_t ceil_mode = 0;
};

enum class Role : std::uint8_t { kWeight, kBias, kScale, kShift, kOffset, kTable, kSlope, kBounds };
inline constexpr std::size_t kRoles = 8;

struct Node {
  Op op = Op::kAbs;
  std::vector<ValueId> inputs;
  Attributes attributes;
  std::array<const Tensor*, kRoles> constants = {};  // null where the op has none or leaves an optional one out

  const Tensor* constant(Role role) const { return constants[static_cast<std::size_t>(role)]; }
};

struct Preprocessing {
  bool shorter_edge = false;  // resize[0] is the length of the shorter edge
  Pair resize = {1, 1};
  Pair crop = {1, 1};
};

struct Graph {
  std::string model;
  bool accepts_f32 = false;
  std::vector<Value> values;  // the image, then one a node
  std::vector<Node> nodes;
  ValueId output = 0;
  Preprocessing preprocessing;

  const Value& made_by(NodeId node) const { return values[node + 1]; }
};

// The graph of an opened file, fully checked; its constants point into `file`. Faults: FORMAT, VERSION.
Graph read_graph(PackedFile& file);

}  // namespace reactnet

#endif  // REACTNET_SRC_GRAPH_H_
