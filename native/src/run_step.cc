#include "run_step.h"

namespace reactnet {
namespace {

// One call of run_step: the arguments that its parts share.
class StepRun {
 public:
  StepRun(const Graph& graph, const Weights& weights, const Step& step, const Memory& memory, const Share& share)
      : graph_(graph),
        weights_(weights),
        step_(step),
        memory_(memory),
        share_(share),
        node_(graph.nodes[step.node]),
        bound_(weights.node(step.node)),
        input_(graph.values[node_.inputs[0]]),
        output_(graph.made_by(step.node)) {}

  void operator()(const NormalizeKernel* kernel) const {
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
    const ConvF32Args args = {conv_f32_shape(graph_, step_.node, bound_), in<float>(0), bound_.packed,
                              bound_.real(Role::kBias), out<float>()};
    part(output_.shape.height, kernel->run, args);
  }

  void operator()(const ConvU8Kernel* kernel) const {
    const ConvU8Args args = {conv_u8_shape(graph_, step_.node, bound_),
                             in<std::uint8_t>(0),
                             bound_.packed,
                             bound_.real(Role::kScale),
                             bound_.real(Role::kBias),
                             out<float>()};
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
    args.out_real = step_.value == kNone ? nullptr : out<float>();
    args.next_shift = real(chain.sign, Role::kShift);
    args.out_bits = step_.bits == kNone ? nullptr : static_cast<std::uint64_t*>(memory_.at(step_.bits));
    args.scratch = memory_.scratch + share_.index * weights_.scratch_bytes();
    part(output_.shape.height, kernel->run, args);
  }

  void operator()(const ElementwiseKernel* kernel) const {
    ElementwiseArgs args = {input_.shape.channels,     in<float>(0), nullptr, false,
                            bound_.real(Role::kShift), out<float>()};
    ElementwiseOp op = ElementwiseOp::kAbs;
    switch (node_.op) {
      case Op::kAffine:
        op = ElementwiseOp::kAffine;
        args.second = bound_.real(Role::kScale);
        break;
      case Op::kAdd:
      case Op::kMul:
        op = node_.op == Op::kAdd ? ElementwiseOp::kAdd : ElementwiseOp::kMul;
        args.second = in<float>(1);
        args.second_is_pixel = graph_.values[node_.inputs[1]].shape.pixels() == 1;
        break;
      case Op::kPrelu:
        op = ElementwiseOp::kPrelu;
        args.second = bound_.real(Role::kSlope);
        break;
      case Op::kClip:
        op = ElementwiseOp::kClip;
        args.second = bound_.real(Role::kBounds);
        break;
      case Op::kRelu:
        op = ElementwiseOp::kRelu;
        break;
      case Op::kSigmoid:
        op = ElementwiseOp::kSigmoid;
        break;
      case Op::kHardSigmoid:
        op = ElementwiseOp::kHardSigmoid;
        break;
      default:
        break;
    }
    part(output_.shape.pixels(), kernel->run[static_cast<std::size_t>(op)], args);
  }

  void operator()(const ChannelsKernel* kernel) const {
    const std::int64_t begin = node_.op == Op::kSlice ? node_.attributes.begin : 0;
    const std::int64_t times = node_.op == Op::kRepeat ? node_.attributes.times : 1;
    float* output = out<float>();
    for (std::size_t i = 0; i < node_.inputs.size(); ++i) {
      const std::int64_t channels = graph_.values[node_.inputs[i]].shape.channels;
      const std::int64_t count = node_.op == Op::kSlice ? node_.attributes.end - begin : channels;
      const ChannelsArgs args = {in<float>(i) + begin, channels, output, output_.shape.channels, count, times};
      part(output_.shape.pixels(), kernel->run, args);
      output += count;
    }
  }

  void operator()(const PoolKernel* kernel) const {
    const PoolOp op = node_.op == Op::kAvgPool   ? PoolOp::kAvg
                      : node_.op == Op::kMaxPool ? PoolOp::kMax
                                                 : PoolOp::kAdaptiveAvg;
    const PoolArgs args = {bound_.window, input_.shape.channels, in<float>(0), out<float>()};
    part(output_.shape.height, kernel->run[static_cast<std::size_t>(op)], args);
  }

 private:
  template <typename Element>
  const Element* in(std::size_t which) const {
    return static_cast<const Element*>(memory_.in(step_.inputs[which]));
  }

  template <typename Element>
  Element* out() const {
    return static_cast<Element*>(memory_.at(step_.value));
  }

  float* scale_of(ValueId value) const {
    const std::uint64_t bytes = value_bytes(graph_.values[value]);
    return reinterpret_cast<float*>(static_cast<std::uint8_t*>(memory_.at(value)) + bytes - sizeof(float));
  }

  const float* real(NodeId node, Role role) const { return node == kNone ? nullptr : weights_.node(node).real(role); }

  template <typename Args>
  void part(std::int64_t count, void (*run)(const Args&, std::int64_t, std::int64_t), const Args& args) const {
    const std::int64_t begin = share_.begin(count);
    const std::int64_t end = share_.end(count);
    if (begin < end) {
      run(args, begin, end);
    }
  }

  const Graph& graph_;
  const Weights& weights_;
  const Step& step_;
  const Memory& memory_;
  const Share& share_;
  const Node& node_;
  const BoundNode& bound_;
  const Value& input_;
  const Value& output_;
};

}  // namespace

void run_step(const Graph& graph, const Weights& weights, const Step& step, const Memory& memory, const Share& share) {
  std::visit(StepRun(graph, weights, step, memory, share), weights.node(step.node).kernel);
}

}  // namespace reactnet
