#include "run_head.h"

#include <cstring>

namespace reactnet {
namespace {

// One call: the arguments that its parts share.
class HeadRun {
 public:
  HeadRun(const Graph& graph, const Weights& weights, const Step& step, const Memory& memory, const Share& share,
          const HeadRows* rows)
      : graph_(graph),
        weights_(weights),
        step_(step),
        memory_(memory),
        share_(share),
        rows_(rows),
        node_(graph.nodes[step.node]),
        bound_(weights.node(step.node)),
        input_(graph.values[node_.inputs[0]]),
        output_(graph.made_by(step.node)) {}

  void operator()(const NormalizeKernel* kernel) const {
    if (memory_.normalized != nullptr) {
      const std::int64_t first = share_.begin(output_.shape.elements());
      const auto count = static_cast<std::size_t>(share_.end(output_.shape.elements()) - first);
      std::memcpy(out<float>() + first, memory_.normalized + first, count * sizeof(float));
      return;
    }
    const NormalizeArgs args = {input_.shape.channels, in<std::uint8_t>(0), bound_.real(Role::kTable), out<float>()};
    part(output_.shape.pixels(), kernel->run, args);
  }

  void operator()(const SignKernel* kernel) const {
    const SignArgs args = {input_.shape.channels, in<float>(0), bound_.real(Role::kShift), out<std::uint64_t>()};
    part(output_.shape.pixels(), kernel->run, args);
  }

  // The maximum first, a part on each thread; then all threads know it.
  void operator()(const QuantizeKernel* kernel) const {
    const std::int64_t count = input_.shape.elements();
    const float* input = in<float>(0);
    memory_.partial[share_.index] = kernel->max_abs(input, share_.begin(count), share_.end(count));
    share_.wait();
    float max = 0;
    for (unsigned thread = 0; thread < share_.threads; ++thread) {
      max = memory_.partial[thread] > max ? memory_.partial[thread] : max;
    }
    const QuantizeArgs args = {input, max, out<std::int8_t>(), scale_of(step_.value)};
    part(count, kernel->run, args);
  }

  void operator()(const ConvF32Kernel* kernel) const {
    ConvF32Args args = {conv_f32_shape(graph_, step_.node, bound_), in<float>(0), bound_.packed,
                        bound_.real(Role::kBias), out<float>()};
    if (kAsksAvx512 && step_.normalize != kNone && rows_->in == nullptr) {  // the kernel looks pixels up
      args.in = nullptr;
      args.pixels = in<std::uint8_t>(0);
      args.table = real(step_.normalize, Role::kTable);
    }
    part(output_.shape.height, kernel->run, args);
  }

  void operator()(const ConvU8Kernel* kernel) const {
    ConvU8Args args = {conv_u8_shape(graph_, step_.node, bound_),
                       in<std::uint8_t>(0),
                       bound_.packed,
                       bound_.real(Role::kScale),
                       bound_.real(Role::kBias),
                       out<float>()};
    if (kAsksAvx512 && rows_ != nullptr) {
      args.out_pooled = rows_->pooled;
    }
    part(output_.shape.height, kernel->run, args);
  }

  void operator()(const ConvI8Kernel* kernel) const {
    const ConvI8Args args = {conv_i8_shape(graph_, step_.node, bound_),
                             in<std::int8_t>(0),
                             scale_of(step_.inputs[0]),
                             bound_.packed,
                             bound_.real(Role::kScale),
                             bound_.real(Role::kBias),
                             out<float>()};
    part(output_.shape.height, kernel->run, args);
  }

  void operator()(const LinearF32Kernel* kernel) const {
    const LinearF32Args args = {linear_f32_shape(graph_, step_.node), in<float>(0), bound_.packed,
                                bound_.real(Role::kBias), out<float>()};
    part((output_.shape.channels + kLinearF32Block - 1) / kLinearF32Block, kernel->run, args);
  }

  void operator()(const LinearI8Kernel* kernel) const {
    const LinearI8Args args = {linear_i8_shape(graph_, step_.node),
                               in<std::int8_t>(0),
                               scale_of(step_.inputs[0]),
                               bound_.packed,
                               bound_.real(Role::kScale),
                               bound_.real(Role::kBias),
                               out<float>()};
    part((output_.shape.channels + kLinearI8Block - 1) / kLinearI8Block, kernel->run, args);
  }

  void operator()(const BConv2dKernel* kernel) const {
    const Chain& chain = step_.chain;
    BConv2dArgs args = {};
    args.shape = bconv2d_shape(graph_, step_.node, bound_);
    args.in = in<std::uint64_t>(0);
    args.packed = bound_.packed;
    args.scale = real(chain.affine, Role::kScale);
    args.shift = real(chain.affine, Role::kShift);
    if (chain.add != kNone) {
      args.shortcut = in<float>(1);
      args.shortcut_channels = graph_.values[step_.inputs[1]].shape.channels;
    }
    args.slope = real(chain.prelu, Role::kSlope);
    args.shift_out = real(chain.shift, Role::kShift);
    args.out_real = rows_ == nullptr && step_.value == kNone ? nullptr : out<float>();
    args.next_shift = real(chain.sign, Role::kShift);
    args.out_bits = chain.sign == kNone ? nullptr : static_cast<std::uint64_t*>(memory_.at(step_.bits));
    args.out_pooled = rows_ == nullptr ? nullptr : rows_->pooled;
    args.scratch = memory_.scratch + share_.index * weights_.scratch_bytes();
    part(output_.shape.height, kernel->run, args);
  }

  void operator()(const ChannelsKernel* kernel) const {
    const std::int64_t begin = node_.op == Op::kSlice ? node_.attributes.begin : 0;
    const std::int64_t times = node_.op == Op::kRepeat ? node_.attributes.times : 1;
    float* output = out<float>();
    for (std::size_t i = 0; i < node_.inputs.size(); ++i) {
      const NodeId slice = step_.slices.empty() ? kNone : step_.slices[i];
      const std::int64_t first = slice == kNone ? begin : graph_.nodes[slice].attributes.begin;
      const std::int64_t channels = graph_.values[step_.inputs[i]].shape.channels;
      const std::int64_t all = graph_.values[node_.inputs[i]].shape.channels;
      const std::int64_t count = node_.op == Op::kSlice ? node_.attributes.end - begin : all;
      const ChannelsArgs args = {in<float>(i) + first, channels, output, output_.shape.channels, count, times};
      if (slice == kNone || !lies_on(step_.inputs[i])) {
        part(output_.shape.pixels(), kernel->run, args);
      }
      output += count;
    }
  }

  void operator()(const PoolKernel* kernel) const {
    const PoolArgs args = {bound_.window, input_.shape.channels, in<float>(0), out<float>()};
    part(output_.shape.height, kernel->run[static_cast<std::size_t>(pool_op(node_.op))], args);
  }

  void operator()(const ElementwiseKernel*) const {}  // never a head by itself: rows.cc runs stages

 private:
  template <typename Element>
  const Element* in(std::size_t which) const {
    const bool given = which == 0 && rows_ != nullptr && rows_->in != nullptr;
    return static_cast<const Element*>(given ? rows_->in : memory_.in(step_.inputs[which]));
  }

  template <typename Element>
  Element* out() const {
    return static_cast<Element*>(rows_ != nullptr ? rows_->out : memory_.at(step_.value));
  }

  // The step's value has taken this input's place: then the channels that both begin with are there.
  bool lies_on(ValueId input) const {
    const std::vector<std::uint64_t>& offsets = memory_.plan->offsets;
    return step_.value == step_.node + 1 && input != 0 && offsets[step_.value] == offsets[input];
  }

  float* scale_of(ValueId value) const {
    const std::uint64_t bytes = value_bytes(graph_.values[value]);
    return reinterpret_cast<float*>(static_cast<std::uint8_t*>(memory_.at(value)) + bytes - sizeof(float));
  }

  const float* real(NodeId node, Role role) const { return node == kNone ? nullptr : weights_.node(node).real(role); }

  // This call's part of `count` units of work: of the output's rows, of its pixels, or of what the kernel counts in.
  template <typename Args>
  void part(std::int64_t count, void (*run)(const Args&, std::int64_t, std::int64_t), const Args& args) const {
    const std::int64_t a_row = count / output_.shape.height;
    const std::int64_t begin = rows_ != nullptr ? rows_->begin * a_row : share_.begin(count);
    const std::int64_t end = rows_ != nullptr ? rows_->end * a_row : share_.end(count);
    if (begin < end) {
      run(args, begin, end);
    }
  }

  const Graph& graph_;
  const Weights& weights_;
  const Step& step_;
  const Memory& memory_;
  const Share& share_;
  const HeadRows* rows_;
  const Node& node_;
  const BoundNode& bound_;
  const Value& input_;
  const Value& output_;
};

}  // namespace

PoolOp pool_op(Op op) {
  return op == Op::kAvgPool ? PoolOp::kAvg : op == Op::kMaxPool ? PoolOp::kMax : PoolOp::kAdaptiveAvg;
}

void run_head(const Graph& graph, const Weights& weights, const Step& step, const Memory& memory, const Share& share,
              const HeadRows* rows) {
  std::visit(HeadRun(graph, weights, step, memory, share, rows), weights.node(step.node).kernel);
}

}  // namespace reactnet
