// What format.md asks of a graph's meaning. Each function throws a Fault (FORMAT) at the first thing that is wrong.
#ifndef REACTNET_SRC_CHECK_H_
#define REACTNET_SRC_CHECK_H_

#include <string>

#include "graph.h"
#include "ops.h"

namespace reactnet {

// Every float constant is finite, used or not.
void check_finite(const PackedFile& file);

// Sides from 1 to 65,536, at most 2^28 elements.
void check_value_shape(const Shape& shape, const std::string& where);

// A node whose inputs, attributes and constants are read: shapes, then the constants' numbers. Returns its value's
// shape.
Shape check_node(const Node& node, const OpSpec& op, const Graph& graph);

// The output is an f32 vector; every other value and every tensor is used.
void check_uses(const Graph& graph, const PackedFile& file);

}  // namespace reactnet

#endif  // REACTNET_SRC_CHECK_H_
