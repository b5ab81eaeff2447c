#include "ops.h"

#include <string>

#include "fault.h"

namespace reactnet {
namespace {

[[noreturn]] void fault(const std::string& problem, std::string_view hint) {
  fail(REACTNET_ERROR_FORMAT, problem, hint);
}

std::string text(const Pair& pair) { return "[" + std::to_string(pair[0]) + ", " + std::to_string(pair[1]) + "]"; }

std::string text(const Shape& shape) {
  return "[" + std::to_string(shape.height) + ", " + std::to_string(shape.width) + ", " +
         std::to_string(shape.channels) + "]";
}

std::vector<std::int64_t>& wanted(Expected& expected, Role role) { return expected[static_cast<std::size_t>(role)]; }

const Tensor& ranked_weight(const Node& node, std::size_t rank) {
  const Tensor& weight = *node.constant(Role::kWeight);
  if (weight.shape.size() != rank) {
    fault("constant 'weight' has rank " + std::to_string(weight.shape.size()), "give it rank " + std::to_string(rank));
  }
  return weight;
}

// How many windows fit along one side of `size`; below 1 where none does.
std::int64_t window_outputs(std::int64_t size, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                            bool ceil_mode) {
  const std::int64_t span = size + 2 * padding - kernel;
  if (!ceil_mode) {
    return span < 0 ? 0 : span / stride + 1;
  }
  const std::int64_t count = (span < 0 ? span / stride : (span + stride - 1) / stride) + 1;
  return (count - 1) * stride >= size + padding ? count - 1 : count;
}

Shape window_shape(const Shape& in, const Pair& kernel, const Attributes& at, std::int64_t channels) {
  const Pair& p = at.padding;
  if (p[0] >= kernel[0] || p[1] >= kernel[1]) {
    fault("padding " + text(p) + " is not less than the kernel " + text(kernel), "use a padding below the kernel");
  }
  const std::int64_t height = window_outputs(in.height, kernel[0], at.stride[0], p[0], at.ceil_mode != 0);
  const std::int64_t width = window_outputs(in.width, kernel[1], at.stride[1], p[1], at.ceil_mode != 0);
  if (height < 1 || width < 1) {
    fault("kernel " + text(kernel) + " with padding " + text(p) + " does not fit the map " + text(in),
          "use a smaller kernel, more padding or a larger image");
  }
  return {height, width, channels};
}

Shape conv_rule(const std::vector<Shape>& inputs, const Node& node, Expected& expected) {
  const Shape& in = inputs[0];
  const std::vector<std::int64_t>& shape = ranked_weight(node, 4).shape;
  const std::int64_t groups = node.attributes.groups;
  if (in.channels % groups != 0 || shape[0] % groups != 0) {
    fault(std::to_string(in.channels) + " input and " + std::to_string(shape[0]) +
              " output channels do not split into " + std::to_string(groups) + " groups",
          "use a number of groups that divides both");
  }
  const Pair kernel = {shape[1], shape[2]};
  if (kernel[0] > kMaxSide || kernel[1] > kMaxSide) {
    fault("kernel " + text(kernel) + " is above the limit of 65536", "use a smaller kernel");
  }
  const std::int64_t in_group = in.channels / groups;
  const bool packed = node.op == Op::kBConv2d;
  wanted(expected, Role::kWeight) = {shape[0], shape[1], shape[2], packed ? (in_group + 63) / 64 : in_group};
  wanted(expected, Role::kBias) = {shape[0]};
  wanted(expected, Role::kScale) = {shape[0]};
  wanted(expected, Role::kOffset) = {shape[0], shape[1], shape[2]};
  const std::int64_t row = shape[1] * shape[2] * in_group;
  if (packed && row > (1 << 24)) {
    fault("a sum has " + std::to_string(row) + " terms, above 2^24, where f32 stops being exact",
          "use a smaller kernel or groups");
  }
  return window_shape(in, kernel, node.attributes, shape[0]);
}

Shape linear_rule(const std::vector<Shape>& inputs, const Node& node, Expected& expected) {
  const std::int64_t outputs = ranked_weight(node, 2).shape[0];
  wanted(expected, Role::kWeight) = {outputs, inputs[0].elements()};
  wanted(expected, Role::kBias) = {outputs};
  wanted(expected, Role::kScale) = {outputs};
  return {1, 1, outputs};
}

Shape same_rule(const std::vector<Shape>& inputs, const Node&, Expected& expected) {
  for (const Role role : {Role::kShift, Role::kScale, Role::kSlope}) {
    wanted(expected, role) = {inputs[0].channels};
  }
  wanted(expected, Role::kTable) = {256, inputs[0].channels};
  wanted(expected, Role::kBounds) = {2};
  return inputs[0];
}

Shape binary_rule(const std::vector<Shape>& inputs, const Node&, Expected&) {
  const Shape channelwise = {1, 1, inputs[0].channels};
  if (!(inputs[1] == inputs[0]) && !(inputs[1] == channelwise)) {
    fault("shapes " + text(inputs[0]) + " and " + text(inputs[1]) + " do not combine",
          "give the second input the shape " + text(inputs[0]) + " or " + text(channelwise));
  }
  return inputs[0];
}

Shape concat_rule(const std::vector<Shape>& inputs, const Node&, Expected&) {
  Shape joined = {inputs[0].height, inputs[0].width, 0};
  for (const Shape& shape : inputs) {
    if (shape.height != joined.height || shape.width != joined.width) {
      fault("maps " + text(inputs[0]) + " and " + text(shape) + " do not join", "use maps of one size");
    }
    joined.channels += shape.channels;
  }
  return joined;
}

Shape slice_rule(const std::vector<Shape>& inputs, const Node& node, Expected&) {
  const std::int64_t begin = node.attributes.begin;
  const std::int64_t end = node.attributes.end;
  if (begin >= end || end > inputs[0].channels) {
    fault("channels " + std::to_string(begin) + " to " + std::to_string(end) + " are not within 0 to " +
              std::to_string(inputs[0].channels),
          "use 0 <= begin < end <= channels");
  }
  return {inputs[0].height, inputs[0].width, end - begin};
}

Shape repeat_rule(const std::vector<Shape>& inputs, const Node& node, Expected&) {
  return {inputs[0].height, inputs[0].width, inputs[0].channels * node.attributes.times};
}

Shape pool_rule(const std::vector<Shape>& inputs, const Node& node, Expected&) {
  const Attributes& at = node.attributes;
  if (2 * at.padding[0] > at.kernel[0] || 2 * at.padding[1] > at.kernel[1]) {
    fault("padding " + text(at.padding) + " is above half the kernel " + text(at.kernel),
          "use at most half the kernel");
  }
  return window_shape(inputs[0], at.kernel, at, inputs[0].channels);
}

Shape adaptive_rule(const std::vector<Shape>& inputs, const Node& node, Expected&) {
  return {node.attributes.size[0], node.attributes.size[1], inputs[0].channels};
}

Shape global_rule(const std::vector<Shape>& inputs, const Node&, Expected&) { return {1, 1, inputs[0].channels}; }

constexpr std::uint8_t allow(Dtype dtype) { return static_cast<std::uint8_t>(1u << static_cast<unsigned>(dtype)); }

constexpr std::uint8_t kRealWeight = allow(Dtype::kF32) | allow(Dtype::kF16);
constexpr std::uint8_t kStemWeight = allow(Dtype::kI8) | allow(Dtype::kI16);

constexpr ConstantSpec f32(Role role, bool required = true) { return {role, allow(Dtype::kF32), required}; }
constexpr ConstantSpec weight(std::uint8_t dtypes) { return {Role::kWeight, dtypes, true}; }

constexpr AttributeSpec kStride = {"stride", &Attributes::stride, nullptr, 1, kMaxSide, false};
constexpr AttributeSpec kPadding = {"padding", &Attributes::padding, nullptr, 0, kMaxSide - 1, false};
constexpr AttributeSpec kKernel = {"kernel", &Attributes::kernel, nullptr, 1, kMaxSide, false};
constexpr AttributeSpec kSize = {"size", &Attributes::size, nullptr, 1, kMaxSide, false};
constexpr AttributeSpec kGroups = {"groups", nullptr, &Attributes::groups, 1, kMaxSide, false};
constexpr AttributeSpec kPaddingValue = {"padding_value", nullptr, &Attributes::padding_value, -1, 1, false};
constexpr AttributeSpec kBegin = {"begin", nullptr, &Attributes::begin, 0, kMaxSide, false};
constexpr AttributeSpec kEnd = {"end", nullptr, &Attributes::end, 0, kMaxSide, false};
constexpr AttributeSpec kTimes = {"times", nullptr, &Attributes::times, 1, kMaxSide, false};
constexpr AttributeSpec kCeilMode = {"ceil_mode", nullptr, &Attributes::ceil_mode, 0, 1, true};

const std::vector<OpSpec>& table() {
  constexpr Kind u8 = Kind::kU8;
  constexpr Kind real = Kind::kF32;
  constexpr Kind i8 = Kind::kI8;
  const ConstantSpec scale = f32(Role::kScale);
  const ConstantSpec bias = f32(Role::kBias);
  const ConstantSpec maybe_bias = f32(Role::kBias, false);
  const ConstantSpec offset = {Role::kOffset, allow(Dtype::kI32), true};
  const ConstantSpec i8_weight = weight(allow(Dtype::kI8));
  const std::vector<AttributeSpec> window = {kStride, kPadding, kGroups};
  const std::vector<AttributeSpec> pool = {kKernel, kStride, kPadding, kCeilMode};
  static const std::vector<OpSpec> specs = {
      {Op::kNormalize, "normalize", {u8}, false, real, same_rule, {f32(Role::kTable)}, {}},
      {Op::kConvF32, "conv_f32", {real}, false, real, conv_rule, {weight(kRealWeight), maybe_bias}, window},
      {Op::kConvU8,
       "conv_u8",
       {u8},
       false,
       real,
       conv_rule,
       {weight(kStemWeight), offset, scale, bias},
       {kStride, kPadding}},
      {Op::kQuantize, "quantize", {real}, false, i8, same_rule, {}, {}},
      {Op::kConvI8, "conv_i8", {i8}, false, real, conv_rule, {i8_weight, scale, bias}, window},
      {Op::kLinearF32, "linear_f32", {real}, false, real, linear_rule, {weight(kRealWeight), maybe_bias}, {}},
      {Op::kLinearI8, "linear_i8", {i8}, false, real, linear_rule, {i8_weight, scale, bias}, {}},
      {Op::kSign, "sign", {real}, false, Kind::kBits, same_rule, {f32(Role::kShift)}, {}},
      {Op::kBConv2d,
       "bconv2d",
       {Kind::kBits},
       false,
       real,
       conv_rule,
       {weight(allow(Dtype::kU64))},
       {kStride, kPadding, kPaddingValue, kGroups}},
      {Op::kAffine, "affine", {real}, false, real, same_rule, {scale, f32(Role::kShift)}, {}},
      {Op::kAdd, "add", {real, real}, false, real, binary_rule, {}, {}},
      {Op::kMul, "mul", {real, real}, false, real, binary_rule, {}, {}},
      {Op::kPrelu, "prelu", {real}, false, real, same_rule, {f32(Role::kSlope)}, {}},
      {Op::kRelu, "relu", {real}, false, real, same_rule, {}, {}},
      {Op::kSigmoid, "sigmoid", {real}, false, real, same_rule, {}, {}},
      {Op::kHardSigmoid, "hard_sigmoid", {real}, false, real, same_rule, {}, {}},
      {Op::kAbs, "abs", {real}, false, real, same_rule, {}, {}},
      {Op::kClip, "clip", {real}, false, real, same_rule, {f32(Role::kBounds)}, {}},
      {Op::kConcat, "concat", {real}, true, real, concat_rule, {}, {}},
      {Op::kSlice, "slice", {real}, false, real, slice_rule, {}, {kBegin, kEnd}},
      {Op::kRepeat, "repeat", {real}, false, real, repeat_rule, {}, {kTimes}},
      {Op::kAvgPool, "avg_pool", {real}, false, real, pool_rule, {}, pool},
      {Op::kMaxPool, "max_pool", {real}, false, real, pool_rule, {}, pool},
      {Op::kAdaptiveAvgPool, "adaptive_avg_pool", {real}, false, real, adaptive_rule, {}, {kSize}},
      {Op::kGlobalAvgPool, "global_avg_pool", {real}, false, real, global_rule, {}, {}},
  };
  return specs;
}

}  // namespace

const char* role_name(Role role) {
  constexpr const char* kNames[kRoles] = {"weight", "bias", "scale", "shift", "offset", "table", "slope", "bounds"};
  return kNames[static_cast<std::size_t>(role)];
}

const char* op_name(Op op) { return table()[static_cast<std::size_t>(op)].name; }

const OpSpec* find_op(std::string_view name) {
  for (const OpSpec& spec : table()) {
    if (name == spec.name) {
      return &spec;
    }
  }
  return nullptr;
}

}  // namespace reactnet
