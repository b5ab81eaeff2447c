// From the graph's JSON text to nodes: the form of everything is read here, its meaning checked by check.cc.
#include "graph.h"

#include <map>
#include <set>

#include "check.h"
#include "fault.h"
#include "json.h"
#include "names.h"
#include "ops.h"

namespace reactnet {
namespace {

constexpr std::int64_t kFormat = 1;
constexpr std::uint32_t kMaxNodes = 65536;

using Names = std::map<std::string, ValueId, std::less<>>;

[[noreturn]] void fault(const std::string& problem, std::string_view hint = kDamaged) {
  fail(REACTNET_ERROR_FORMAT, problem, hint);
}

Pair read_pair(Json value, const std::string& where) {
  const Json list = expect_list(value, where);
  if (list.size() != 2) {
    fault(where + ": " + std::to_string(list.size()) + " numbers, not 2");
  }
  return {expect_integer(list.first(), where), expect_integer(list.first().next(), where)};
}

std::string read_name(Json value, const std::string& where) {
  const std::string_view name = expect_text(value, where);
  if (!is_name(name)) {
    fault(where + ": " + quote(name) + " is not allowed", "use 1 to 256 of A-Z a-z 0-9 _ . - /");
  }
  return std::string(name);
}

Value read_input(Json value) {
  const std::vector<Json> entry = expect_keys(value, {"name", "shape"}, "graph: input");
  const std::string where = "graph: input shape";
  const Json sides = expect_list(entry[1], where);
  if (sides.size() != 3) {
    fault(where + ": " + std::to_string(sides.size()) + " numbers, not 3");
  }
  const Json second = sides.first().next();
  Value input;
  input.name = read_name(entry[0], "graph: input name");
  input.kind = Kind::kU8;
  input.shape = {expect_integer(sides.first(), where), expect_integer(second, where),
                 expect_integer(second.next(), where)};
  check_value_shape(input.shape, "input");
  if (input.shape.channels > 4) {
    fault("input: " + std::to_string(input.shape.channels) + " channels", "use [H, W, C] with C from 1 to 4");
  }
  return input;
}

// -?digits[.digits][e[+-]digits], with at most 20, 20 and 2 digits: always a finite number.
bool is_decimal(std::string_view text) {
  std::size_t place = !text.empty() && text[0] == '-' ? 1 : 0;
  const auto digits = [&](std::size_t most) {
    const std::size_t begin = place;
    while (place < text.size() && text[place] >= '0' && text[place] <= '9') {
      ++place;
    }
    return place - begin >= 1 && place - begin <= most;
  };
  bool good = digits(20);
  if (good && place < text.size() && text[place] == '.') {
    ++place;
    good = digits(20);
  }
  if (good && place < text.size() && text[place] == 'e') {
    ++place;
    place += place < text.size() && (text[place] == '+' || text[place] == '-') ? 1 : 0;
    good = digits(2);
  }
  return good && place == text.size();
}

void check_decimals(Json value, std::int64_t count, const std::string& where) {
  Json item = expect_list(value, where).first();
  if (value.size() != count) {
    fault(where + " has " + std::to_string(value.size()) + " numbers", "use one for each channel");
  }
  for (std::uint32_t i = 0; i < value.size(); ++i, item = item.next()) {
    const std::string_view text = expect_text(item, where);
    if (!is_decimal(text)) {
      fault(where + ": " + quote(text) + " is not a decimal number of ordinary size");
    }
  }
}

Preprocessing read_preprocessing(Json value, const Shape& input) {
  const std::string where = "graph: preprocessing";
  const std::vector<Json> entry = expect_keys(value, {"crop", "mean", "resize", "std"}, where);
  Preprocessing found;
  found.crop = read_pair(entry[0], where + ": crop");
  found.shorter_edge = entry[2].type() != JsonType::kArray;
  if (found.shorter_edge) {
    found.resize[0] = found.resize[1] = expect_integer(entry[2], where + ": resize");
  } else {
    found.resize = read_pair(entry[2], where + ": resize");
  }
  if (found.crop != Pair{input.height, input.width}) {
    fault(where + ": crop is [" + std::to_string(found.crop[0]) + ", " + std::to_string(found.crop[1]) + "]",
          "use the input's size");
  }
  for (std::size_t side = 0; side < 2; ++side) {
    const std::int64_t length = found.resize[side];
    if (length < 1 || length > kMaxSide) {
      fault(where + ": resize is " + std::to_string(length), "use integers from 1 to 65536");
    }
    if (length < found.crop[side]) {
      fault(where + ": resize " + std::to_string(length) + " is below the crop " + std::to_string(found.crop[side]),
            "resize to more");
    }
  }
  check_decimals(entry[1], input.channels, where + ": mean");
  check_decimals(entry[3], input.channels, where + ": std");
  return found;
}

void read_attributes(Json value, const OpSpec& op, Attributes& attributes) {
  expect_object(value, "attributes");
  std::size_t found = 0;
  Json key = value.first();
  for (std::uint32_t i = 0; i < value.size(); ++i, key = key.next().next()) {
    const AttributeSpec* spec = nullptr;
    for (const AttributeSpec& candidate : op.attributes) {
      spec = key.text() == candidate.name ? &candidate : spec;
    }
    if (spec == nullptr) {
      fault("unknown attribute " + quote(key.text()), "see the op's row in docs/format.md, section 3");
    }
    const std::string where = "attribute " + quote(key.text());
    const Json item = key.next();
    Pair numbers = {spec->low, spec->low};
    if (spec->pair != nullptr) {
      numbers = attributes.*spec->pair = read_pair(item, where);
    } else if (spec->boolean) {
      if (item.type() != JsonType::kBool) {
        fault(where + " is not true or false");
      }
      attributes.*spec->number = item.boolean() ? 1 : 0;
    } else {
      numbers[0] = attributes.*spec->number = expect_integer(item, where);
    }
    for (const std::int64_t number : numbers) {
      if (number < spec->low || number > spec->high) {
        fault(where + " is " + std::to_string(number),
              "use " + std::to_string(spec->low) + " to " + std::to_string(spec->high));
      }
    }
    ++found;
  }
  if (found != op.attributes.size()) {
    fault("an attribute is missing: " + std::to_string(found) + " of " + std::to_string(op.attributes.size()),
          "see the op's row in docs/format.md, section 3");
  }
}

void read_constants(Json value, const OpSpec& op, PackedFile& file, Node& node) {
  expect_object(value, "constants");
  Json key = value.first();
  for (std::uint32_t i = 0; i < value.size(); ++i, key = key.next().next()) {
    const ConstantSpec* spec = nullptr;
    for (const ConstantSpec& candidate : op.constants) {
      spec = key.text() == role_name(candidate.role) ? &candidate : spec;
    }
    const std::string where = "constant " + quote(key.text());
    if (spec == nullptr) {
      fault("unknown " + where, "see the op's row in docs/format.md, section 3");
    }
    const std::string_view name = expect_text(key.next(), where);
    const auto tensor = file.tensors.find(name);
    if (tensor == file.tensors.end()) {
      fault(where + " names no tensor: " + quote(name), "name a tensor of the file");
    }
    if ((spec->dtypes >> static_cast<unsigned>(tensor->second.dtype) & 1) == 0) {
      fault(where + " (tensor " + quote(name) + ") is " + dtype_name(tensor->second.dtype),
            "see the op's row in docs/format.md, section 3");
    }
    tensor->second.used = true;
    node.constants[static_cast<std::size_t>(spec->role)] = &tensor->second;
  }
  for (const ConstantSpec& spec : op.constants) {
    if (spec.required && node.constant(spec.role) == nullptr) {
      fault(std::string("constant '") + role_name(spec.role) + "' is missing", kDamaged);
    }
  }
}

void read_inputs(Json value, const OpSpec& op, const Names& names, Graph& graph, Node& node) {
  Json item = expect_list(value, "inputs").first();
  const bool fits = op.variadic ? value.size() >= 1 && value.size() <= kMaxInputs : value.size() == op.inputs.size();
  if (!fits) {
    fault(std::to_string(value.size()) + " inputs",
          op.variadic ? "the op takes 1 to 64" : "the op takes " + std::to_string(op.inputs.size()));
  }
  for (std::uint32_t i = 0; i < value.size(); ++i, item = item.next()) {
    const std::string_view name = expect_text(item, "inputs");
    const auto found = names.find(name);
    if (found == names.end()) {
      fault("input " + quote(name) + " is no earlier value", "put nodes after what they use");
    }
    Value& input = graph.values[found->second];
    const Kind kind = op.inputs[op.variadic ? 0 : i];
    if (input.kind != kind) {
      fault("input " + quote(name) + " is of kind " + kind_name(input.kind),
            std::string("the op takes ") + kind_name(kind));
    }
    ++input.uses;
    node.inputs.push_back(found->second);
  }
}

void read_node(const std::vector<Json>& entry, PackedFile& file, const Names& names, Graph& graph) {
  const OpSpec* op = find_op(expect_text(entry[4], "op"));
  if (op == nullptr) {
    fault("the op is not one of format 1", "see docs/format.md, section 3, for the ops");
  }
  Node node;
  node.op = op->op;
  read_inputs(entry[2], *op, names, graph, node);
  read_attributes(entry[0], *op, node.attributes);
  read_constants(entry[1], *op, file, node);
  const Shape shape = check_node(node, *op, graph);
  graph.nodes.push_back(std::move(node));
  graph.values.push_back({std::string(entry[3].text()), op->output, shape, 0});
}

void read_nodes(Json value, PackedFile& file, Names& names, Graph& graph) {
  Json item = expect_list(value, "graph: nodes").first();
  if (value.size() > kMaxNodes) {
    fault(std::to_string(value.size()) + " nodes, above the limit of 65536", "use a smaller network");
  }
  graph.nodes.reserve(value.size());
  graph.values.reserve(value.size() + 1);
  for (std::uint32_t i = 0; i < value.size(); ++i, item = item.next()) {
    const std::string where = "graph: node " + std::to_string(i);
    const std::vector<Json> entry = expect_keys(item, {"attributes", "constants", "inputs", "name", "op"}, where);
    const std::string name = read_name(entry[3], where + ": name");
    if (names.count(name) != 0) {
      fault("node " + quote(name) + ": the name is taken", "give each node its own name");
    }
    const auto place = [&] {
      const bool has_op = entry[4].type() == JsonType::kString;
      return "node " + quote(name) + " (" + (has_op ? std::string(entry[4].text().substr(0, 80)) : "no op") + ")";
    };
    at_place(place, [&] { read_node(entry, file, names, graph); });
    names.emplace(name, i + 1);
  }
}

void check_class_names(Json value, std::int64_t classes) {
  Json item = expect_list(value, "graph: class_names").first();
  if (value.size() != 0 && value.size() != classes) {
    fault(std::to_string(value.size()) + " class names for " + std::to_string(classes) + " outputs",
          "name every class, or none");
  }
  std::set<std::string_view> seen;
  for (std::uint32_t i = 0; i < value.size(); ++i, item = item.next()) {
    const std::string_view name = expect_text(item, "graph: class_names");
    if (name.empty() || name.size() > 1024) {
      fault("class name " + quote(name) + " is not allowed", "use 1 to 1,024 bytes of UTF-8");
    }
    if (!seen.insert(name).second) {
      fault("class name " + quote(name) + " stands twice", "give each class its own name");
    }
  }
}

void check_provenance(Json value) {
  Json key = expect_object(value, "graph: provenance").first();
  for (std::uint32_t i = 0; i < value.size(); ++i, key = key.next().next()) {
    expect_text(key.next(), "graph: provenance");
  }
}

void check_version(Json top) {
  Json key = expect_object(top, "graph").first();
  for (std::uint32_t i = 0; i < top.size(); ++i, key = key.next().next()) {
    if (key.text() == "format" && expect_integer(key.next(), "graph: format") != kFormat) {
      fail(REACTNET_ERROR_VERSION,
           "format version " + std::to_string(key.next().integer()) + " is not readable; this release reads version 1",
           "install a newer release of reactnet");
    }
  }
}

}  // namespace

const char* kind_name(Kind kind) {
  constexpr const char* kNames[] = {"u8", "f32", "bits", "i8"};
  return kNames[static_cast<std::size_t>(kind)];
}

Graph read_graph(PackedFile& file) {
  const JsonDocument document = parse_json(file.graph_text, "graph");
  check_version(Json(document));
  const std::vector<Json> top = expect_keys(
      Json(document),
      {"class_names", "ends", "format", "input", "model", "nodes", "output", "preprocessing", "provenance"}, "graph");
  Graph graph;
  graph.model = read_name(top[4], "graph: model");
  const std::string_view ends = expect_text(top[1], "graph: ends");
  if (ends != "float" && ends != "integer") {
    fault("graph: ends is " + quote(ends), "use 'float' or 'integer'");
  }
  graph.values.push_back(read_input(top[3]));
  graph.preprocessing = read_preprocessing(top[7], graph.values[0].shape);
  check_provenance(top[8]);
  check_finite(file);
  Names names = {{graph.values[0].name, 0}};
  read_nodes(top[5], file, names, graph);
  const std::string_view output = expect_text(top[6], "graph: output");
  const auto found = names.find(output);
  if (found == names.end()) {
    fault("output " + quote(output) + " is no value", "name a node");
  }
  graph.output = found->second;
  check_uses(graph, file);
  check_class_names(top[0], graph.values[graph.output].shape.channels);
  const Value& input = graph.values[0];
  graph.accepts_f32 = ends == "float" && input.uses == 1;
  for (const Node& node : graph.nodes) {
    graph.accepts_f32 = graph.accepts_f32 && (node.inputs[0] != 0 || node.op == Op::kNormalize);
  }
  return graph;
}

}  // namespace reactnet
