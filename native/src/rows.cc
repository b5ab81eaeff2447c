#include "rows.h"

#include <algorithm>
#include <cstring>

#include "aligned.h"
#include "run_head.h"

namespace reactnet {
namespace {

constexpr std::uint64_t kNear = 128 * 1024;  // bytes of rows: a part of the second cache, whatever the machine

std::uint64_t aligned(std::uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

const Shape& shape_of(const Graph& graph, const Step& step) { return graph.made_by(step.node).shape; }

std::uint64_t row_bytes(const Shape& shape) {
  return static_cast<std::uint64_t>(shape.width * shape.channels) * sizeof(float);
}

// The pool's windows do not tile the map: rows that two rows of windows read are kept from one to the next.
bool overlaps(const Graph& graph, const Step& step) {
  return step.pool != kNone && !tiles(graph.nodes[step.pool].attributes);
}

// Rows of the head's map that belong together.
std::int64_t unit_of(const Graph& graph, const Step& step) {
  return step.pool == kNone || overlaps(graph, step) ? 1 : graph.nodes[step.pool].attributes.stride[0];
}

// The head leaves means of 2x2 pixels instead of its rows, which nobody wants: so they need no memory.
bool leaves_means(const Graph& graph, const Weights& weights, const Step& step) {
  const Node& pool = graph.nodes[step.pool];
  const Shape& shape = shape_of(graph, step);
  return std::get<const BConv2dKernel*>(weights.node(step.node).kernel)->pools && pool.op == Op::kAvgPool &&
         tiles(pool.attributes) && pool.attributes.kernel == Pair{2, 2} && shape.height % 2 == 0 &&
         shape.width % 2 == 0;
}

// Or the maxima of 3x3 pixels.
bool leaves_maxima(const Graph& graph, const Weights& weights, const Step& step) {
  const Attributes& at = graph.nodes[step.pool].attributes;
  const BoundNode& bound = weights.node(step.node);
  const auto* kernel = std::get<const ConvU8Kernel*>(bound.kernel);
  return kernel->pools != nullptr && step.sign == kNone && graph.nodes[step.pool].op == Op::kMaxPool &&
         at.kernel == Pair{3, 3} && at.stride == Pair{2, 2} && at.padding == Pair{1, 1} &&
         kernel->pools(conv_u8_shape(graph, step.node, bound), bound.real(Role::kBias));
}

bool pools_itself(const Graph& graph, const Weights& weights, const Step& step) {
  if (step.pool == kNone || step.value != kNone || !step.stages.empty()) {
    return false;
  }
  const Op op = graph.nodes[step.node].op;
  return op == Op::kBConv2d ? leaves_means(graph, weights, step)
                            : kAsksAvx512 && op == Op::kConvU8 && leaves_maxima(graph, weights, step);
}

// The head's rows are kept in the thread's own memory: nobody wants them as they are.
bool keeps_rows(const Graph& graph, const Weights& weights, const Step& step) {
  if (pools_itself(graph, weights, step)) {
    return false;
  }
  return step.is_elementwise() ? step.value == kNone && step.pool != kNone
                               : !step.stages.empty() || step.value == kNone;
}

// The head takes its numbers from the normalize's table by itself, where images are pixels.
bool looks_up(const Graph& graph, const Weights& weights, const Step& step) {
  if (!kAsksAvx512 || step.normalize == kNone) {
    return false;
  }
  const BoundNode& bound = weights.node(step.node);
  const auto* kernel = std::get<const ConvF32Kernel*>(bound.kernel);
  return kernel->looks_up != nullptr && kernel->looks_up(conv_f32_shape(graph, step.node, bound));
}

// Rows of a map begin to end - 1 alone lie at `rows`: where row 0 would lie. Kernels count rows from it and touch those
// that are there.
template <typename Element>
Element* row_zero(Element* rows, std::int64_t begin, const Shape& shape) {
  const auto before = static_cast<std::uintptr_t>(begin) * row_bytes(shape);
  return reinterpret_cast<Element*>(reinterpret_cast<std::uintptr_t>(rows) - before);
}

// Without the second input of add and mul, which the step knows.
ElementwiseStage elementwise_stage(const Graph& graph, const Weights& weights, NodeId id) {
  const BoundNode& bound = weights.node(id);
  switch (graph.nodes[id].op) {
    case Op::kAffine:
      return {ElementwiseOp::kAffine, bound.real(Role::kScale), false, bound.real(Role::kShift)};
    case Op::kAdd:
      return {ElementwiseOp::kAdd, nullptr, false, nullptr};
    case Op::kMul:
      return {ElementwiseOp::kMul, nullptr, false, nullptr};
    case Op::kPrelu:
      return {ElementwiseOp::kPrelu, bound.real(Role::kSlope), false, nullptr};
    case Op::kClip:
      return {ElementwiseOp::kClip, bound.real(Role::kBounds), false, nullptr};
    case Op::kRelu:
      return {ElementwiseOp::kRelu, nullptr, false, nullptr};
    case Op::kSigmoid:
      return {ElementwiseOp::kSigmoid, nullptr, false, nullptr};
    case Op::kHardSigmoid:
      return {ElementwiseOp::kHardSigmoid, nullptr, false, nullptr};
    default:
      return {ElementwiseOp::kAbs, nullptr, false, nullptr};
  }
}

// One thread's share of one step.
class RowsRun {
 public:
  RowsRun(const Graph& graph, const Weights& weights, const Step& step, const Memory& memory, const Share& share)
      : graph_(graph),
        weights_(weights),
        step_(step),
        memory_(memory),
        share_(share),
        shape_(shape_of(graph, step)),
        layout_(rows_layout(graph, weights, step)),
        own_(memory.rows + share.index * memory.plan->rows_bytes),
        keeps_rows_(keeps_rows(graph, weights, step)),
        pools_itself_(pools_itself(graph, weights, step)) {
    set_stages();
  }

  void run() const {
    if (kAsksAvx512 && pools_itself_ && overlaps(graph_, step_)) {
      run_maxima();
      return;
    }
    if (overlaps(graph_, step_)) {
      run_overlapping();
      return;
    }
    const std::int64_t unit = unit_of(graph_, step_);
    const std::int64_t units = (shape_.height + unit - 1) / unit;
    const std::int64_t last = std::min(share_.end(units) * unit, shape_.height);
    for (std::int64_t begin = share_.begin(units) * unit; begin < last; begin += step_.rows) {
      const std::int64_t end = std::min(begin + step_.rows, last);
      run_pool(make_rows(begin, end, begin), begin / unit, (end + unit - 1) / unit);
    }
  }

 private:
  void set_stages() {
    for (std::size_t i = 0; i < step_.stages.size(); ++i) {
      const Stage& stage = step_.stages[i];
      stages_[i] = elementwise_stage(graph_, weights_, stage.node);
      if (stage.second != kNone) {
        stages_[i].second = static_cast<const float*>(memory_.in(stage.second));
        stages_[i].second_is_pixel = graph_.values[stage.second].shape.pixels() == 1;
      }
    }
  }

  // The head makes a share of the rows of windows, and what it needs of the map.
  void run_maxima() const {
    const std::int64_t height = weights_.node(step_.pool).window.out_height;
    const HeadRows rows = {share_.begin(height), share_.end(height), nullptr, nullptr,
                           static_cast<float*>(memory_.at(step_.pooled))};
    run_head(graph_, weights_, step_, memory_, share_, &rows);
  }

  // A share is of rows of windows. A row of the map that two threads' windows read is made by both; nobody else reads
  // it.
  void run_overlapping() const {
    const Window& w = weights_.node(step_.pool).window;
    const auto first_read = [&w](std::int64_t row) {
      return std::max<std::int64_t>(row * w.stride_h - w.padding_h, 0);
    };
    const auto end_read = [&w](std::int64_t row) {
      return std::min(row * w.stride_h - w.padding_h + w.kernel_h, w.height);
    };
    std::int64_t row = share_.begin(w.out_height);
    const std::int64_t last = share_.end(w.out_height);
    std::int64_t kept = first_read(row);  // the first row at hand
    for (std::int64_t begin = kept; row < last;) {
      const std::int64_t end = std::min(begin + step_.rows, end_read(last - 1));
      const float* made = make_rows(begin, end, kept);
      std::int64_t next = row;
      while (next < last && end_read(next) <= end) {
        ++next;
      }
      run_pool(made, row, next);
      row = next;
      keep_rows(kept, std::min(first_read(row), end), end);
      kept = std::min(first_read(row), end);
      begin = end;
    }
  }

  // Of rows `kept` to end - 1 those from `first` on come to stand first.
  void keep_rows(std::int64_t kept, std::int64_t first, std::int64_t end) const {
    const std::uint64_t row = row_bytes(shape_);
    std::uint8_t* rows = own_ + layout_.image_bytes;
    std::memmove(rows, rows + static_cast<std::uint64_t>(first - kept) * row,
                 static_cast<std::uint64_t>(end - first) * row);
  }

  // Rows begin to end - 1 of the step's last f32 value, the sign's bits with them. Where row 0 lies, or would: of the
  // thread's own rows `kept` stands first.
  const float* make_rows(std::int64_t begin, std::int64_t end, std::int64_t kept) const {
    float* value = step_.value == kNone ? nullptr : static_cast<float*>(memory_.at(step_.value));
    float* own = row_zero(reinterpret_cast<float*>(own_ + layout_.image_bytes), kept, shape_);
    const float* made = nullptr;  // by the head
    if (step_.is_elementwise()) {
      made = static_cast<const float*>(memory_.in(step_.inputs[0]));
    } else {
      float* out = keeps_rows_ ? own : value;
      float* pooled = pools_itself_ ? static_cast<float*>(memory_.at(step_.pooled)) : nullptr;
      const HeadRows rows = {begin, end, normalized_rows(begin, end), out, pooled};
      run_head(graph_, weights_, step_, memory_, share_, &rows);
      made = out;
    }
    if (!step_.stages.empty() || step_.sign != kNone) {
      float* out = step_.stages.empty() ? nullptr : value != nullptr ? value : step_.pool != kNone ? own : nullptr;
      run_stages(made, out, begin, end);
      made = out != nullptr ? out : made;
    }
    return made;
  }

  // Null where the head reads its input as it lies in memory.
  const void* normalized_rows(std::int64_t begin, std::int64_t end) const {
    if (step_.normalize == kNone) {
      return nullptr;
    }
    if (memory_.normalized != nullptr) {
      return memory_.normalized;
    }
    if (looks_up(graph_, weights_, step_)) {
      return nullptr;
    }
    const Window& w = weights_.node(step_.node).window;
    const Shape& image = graph_.values[0].shape;
    const std::int64_t first = std::max<std::int64_t>(begin * w.stride_h - w.padding_h, 0);
    const std::int64_t last = std::min((end - 1) * w.stride_h - w.padding_h + w.kernel_h, w.height);
    float* rows = row_zero(reinterpret_cast<float*>(own_), first, image);
    const BoundNode& bound = weights_.node(step_.normalize);
    const NormalizeArgs args = {image.channels, static_cast<const std::uint8_t*>(memory_.in(0)),
                                bound.real(Role::kTable), rows};
    if (first < last) {
      std::get<const NormalizeKernel*>(bound.kernel)->run(args, first * image.width, last * image.width);
    }
    return rows;
  }

  void run_stages(const float* made, float* out, std::int64_t begin, std::int64_t end) const {
    ElementwiseArgs args = {shape_.channels, made,   stages_, static_cast<std::int64_t>(step_.stages.size()), out,
                            nullptr,         nullptr};
    if (step_.sign != kNone) {
      args.next_shift = weights_.node(step_.sign).real(Role::kShift);
      args.out_bits = static_cast<std::uint64_t*>(memory_.at(step_.bits));
    }
    weights_.elementwise()->run(args, begin * shape_.width, end * shape_.width);
  }

  // Rows of windows first to last - 1, if the step has a pool with so many.
  void run_pool(const float* made, std::int64_t first, std::int64_t last) const {
    if (step_.pool == kNone || pools_itself_) {
      return;
    }
    const BoundNode& bound = weights_.node(step_.pool);
    const PoolArgs args = {bound.window, shape_.channels, made, static_cast<float*>(memory_.at(step_.pooled))};
    last = std::min(last, bound.window.out_height);
    if (first < last) {
      std::get<const PoolKernel*>(bound.kernel)
          ->run[static_cast<std::size_t>(pool_op(graph_.nodes[step_.pool].op))](args, first, last);
    }
  }

  const Graph& graph_;
  const Weights& weights_;
  const Step& step_;
  const Memory& memory_;
  const Share& share_;
  const Shape& shape_;
  const RowsLayout layout_;
  std::uint8_t* own_;
  const bool keeps_rows_;
  const bool pools_itself_;
  ElementwiseStage stages_[kMaxStages] = {};
};

}  // namespace

std::int64_t rows_at_hand(const Graph& graph, const Weights& weights, const Step& step) {
  const bool alone = step.stages.empty() && step.sign == kNone && step.pool == kNone && step.normalize == kNone;
  if (alone) {
    return 0;
  }
  const Shape& shape = shape_of(graph, step);
  if (pools_itself(graph, weights, step)) {
    return shape.height;
  }
  const std::int64_t unit = unit_of(graph, step);
  // Each call of a kernel that looks up prepares its table.
  const std::uint64_t bytes = looks_up(graph, weights, step) ? 2 * kNear : kNear;
  const auto near = static_cast<std::int64_t>(bytes / row_bytes(shape)) / unit * unit;
  return step.is_elementwise() && step.pool == kNone ? shape.height : std::max(near, unit);
}

RowsLayout rows_layout(const Graph& graph, const Weights& weights, const Step& step) {
  RowsLayout layout;
  if (step.rows == 0) {
    return layout;
  }
  const Shape& shape = shape_of(graph, step);
  const std::int64_t rows = std::min(step.rows, shape.height);
  if (step.normalize != kNone && !looks_up(graph, weights, step)) {
    const Window& w = weights.node(step.node).window;
    const std::int64_t needed = std::min((rows - 1) * w.stride_h + w.kernel_h, w.height);
    layout.image_bytes = aligned(static_cast<std::uint64_t>(needed) * row_bytes(graph.values[0].shape));
  }
  const std::int64_t kept = overlaps(graph, step) ? weights.node(step.pool).window.kernel_h - 1 : 0;  // at most
  const bool keeps = keeps_rows(graph, weights, step);
  const std::uint64_t own = keeps ? static_cast<std::uint64_t>(rows + kept) * row_bytes(shape) : 0;
  layout.bytes = layout.image_bytes + aligned(own);
  return layout;
}

void run_rows(const Graph& graph, const Weights& weights, const Step& step, const Memory& memory, const Share& share) {
  RowsRun(graph, weights, step, memory, share).run();
}

}  // namespace reactnet
