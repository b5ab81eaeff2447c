#include "check.h"
#include "linear_f32/linear_f32.h"
#include "linear_i8/linear_i8.h"

using namespace reactnet;

#if defined(REACTNET_TEST_SIMDE)
namespace reactnet {
extern const LinearF32Kernel linear_f32_simde_avx512;
extern const LinearI8Kernel linear_i8_simde_avx512vnni;
}  // namespace reactnet
#endif

namespace {

#if defined(REACTNET_TEST_SIMDE)
std::vector<const LinearF32Kernel*> linear_f32_here() {
  return kernels_here(linear_f32_kernels(), {&linear_f32_simde_avx512});
}
std::vector<const LinearI8Kernel*> linear_i8_here() {
  return kernels_here(linear_i8_kernels(), {&linear_i8_simde_avx512vnni});
}
#else
std::vector<const LinearF32Kernel*> linear_f32_here() { return kernels_here(linear_f32_kernels()); }
std::vector<const LinearI8Kernel*> linear_i8_here() { return kernels_here(linear_i8_kernels()); }
#endif

void check_f32(Tally& tally, const LinearF32Shape& s, bool biased, Random& random) {
  Guarded<float> in(size_of(s.inputs), random.guard()), weight(size_of(s.inputs * s.outputs), random.guard());
  Guarded<float> bias(size_of(s.outputs), random.guard()), expected(size_of(s.outputs), random.guard());
  for (Guarded<float>* reals : {&in, &weight, &bias}) random.fill(*reals);
  for (std::int64_t o = 0; o < s.outputs; ++o) {
    float acc = 0.0f;
    for (std::int64_t i = 0; i < s.inputs; ++i) acc += in[size_of(i)] * weight[size_of(o * s.inputs + i)];
    expected[size_of(o)] = biased ? acc + bias[size_of(o)] : acc;
  }
  for (const LinearF32Kernel* kernel : linear_f32_here()) {
    if (!kernel->supports(s)) continue;
    Guarded<unsigned char> packed(size_of(static_cast<std::int64_t>(kernel->packed_bytes(s))), Guard::kAfter, 64);
    kernel->pack(s, weight.data(), packed.data());
    Guarded<float> out(size_of(s.outputs), random.guard());
    const LinearF32Args args = {s, in.data(), packed.data(), biased ? bias.data() : nullptr, out.data()};
    in_pieces(random, (s.outputs + kLinearF32Block - 1) / kLinearF32Block,
              [&](std::int64_t begin, std::int64_t end) { kernel->run(args, begin, end); });
    tally.expect(out.same(expected),
                 std::string(kernel->name) + " " + std::to_string(s.inputs) + " to " + std::to_string(s.outputs));
  }
}

void check_i8(Tally& tally, const LinearI8Shape& s, Random& random, bool extreme = false) {
  Guarded<std::int8_t> in(size_of(s.inputs), random.guard()), weight(size_of(s.inputs * s.outputs), random.guard());
  Guarded<float> scale(size_of(s.outputs), random.guard()), bias(size_of(s.outputs), random.guard());
  Guarded<float> expected(size_of(s.outputs), random.guard()), in_scale(1, random.guard());
  fill_quantized(random, in);
  random.fill_integers(weight);
  for (std::size_t i = 0; extreme && i < in.size(); ++i) in[i] = 127;
  for (std::size_t i = 0; extreme && i < weight.size(); ++i) weight[i] = i < in.size() ? 127 : -127;
  for (Guarded<float>* reals : {&scale, &bias, &in_scale}) random.fill(*reals);
  for (std::int64_t o = 0; o < s.outputs; ++o) {
    int acc = 0;
    for (std::int64_t i = 0; i < s.inputs; ++i) acc += in[size_of(i)] * weight[size_of(o * s.inputs + i)];
    const float y = static_cast<float>(acc) * in_scale[0];
    const float scaled = y * scale[size_of(o)];
    expected[size_of(o)] = scaled + bias[size_of(o)];
  }
  for (const LinearI8Kernel* kernel : linear_i8_here()) {
    if (!kernel->supports(s)) continue;
    Guarded<unsigned char> packed(size_of(static_cast<std::int64_t>(kernel->packed_bytes(s))), Guard::kAfter, 64);
    kernel->pack(s, weight.data(), packed.data());
    Guarded<float> out(size_of(s.outputs), random.guard());
    const LinearI8Args args = {s, in.data(), in_scale.data(), packed.data(), scale.data(), bias.data(), out.data()};
    in_pieces(random, (s.outputs + kLinearI8Block - 1) / kLinearI8Block,
              [&](std::int64_t begin, std::int64_t end) { kernel->run(args, begin, end); });
    tally.expect(out.same(expected),
                 std::string(kernel->name) + " " + std::to_string(s.inputs) + " to " + std::to_string(s.outputs));
  }
}

}  // namespace

void check_linear(Tally& tally) {
  Random random(2);
  for (const std::int64_t inputs : {1, 2, 17, 64, 333, 1024}) {
    for (const std::int64_t outputs : {1, 7, 8, 10, 63, 64, 65, 100, 200}) {
      check_f32(tally, {inputs, outputs}, random.coin(), random);
      check_i8(tally, {inputs, outputs}, random);
    }
  }
  for (const std::int64_t inputs : {1025, 4096, 5003}) check_i8(tally, {inputs, 70}, random);  // past a chunk
  check_i8(tally, {133143, 2}, random, true);  // the longest sum of 127 * 127 in int32, and its opposite
}
