#include "session.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "fault.h"
#include "json.h"
#include "ops.h"
#include "step_clock.h"

namespace {

using namespace reactnet;

std::string describe_plan(const reactnet_model& model) {
  std::string text = "{\"isa\":" + json_quote(isa_name(model.settings.isa)) +
                     ",\"threads\":" + std::to_string(model.settings.threads) +
                     ",\"arena_bytes\":" + std::to_string(model.plan.arena_bytes) + ",\"steps\":[";
  for (std::size_t i = 0; i < model.plan.steps.size(); ++i) {
    const Step& step = model.plan.steps[i];
    const Op op = model.graph.nodes[step.node].op;
    text += std::string(i == 0 ? "" : ",") + "{\"step\":" + std::to_string(i) + ",\"op\":" + json_quote(op_name(op)) +
            ",\"kernel\":" + json_quote(model.weights.node(step.node).kernel_name) + ",\"nodes\":[";
    for (const NodeId node : step.nodes) {
      text += (node == step.nodes.front() ? "" : ",") + json_quote(model.graph.made_by(node).name);
    }
    text += "]}";
  }
  return text + "]}";
}

}  // namespace

namespace reactnet {

void copy_logits(const float* values, std::size_t classes, float* logits) {
  constexpr std::uint32_t kNan = 0x7FC00000;
  for (std::size_t k = 0; k < classes; ++k) {
    if (std::isnan(values[k])) {
      std::memcpy(logits + k, &kNan, sizeof kNan);
    } else {
      logits[k] = values[k];
    }
  }
}

}  // namespace reactnet

reactnet_model::reactnet_model(FileBytes bytes, const Settings& wanted)
    : settings(wanted), file_bytes(bytes.size), pool(wanted.threads) {
  PackedFile file = open_packed(std::move(bytes));
  graph = read_graph(file);
  weights = Weights(graph, settings.isa);
  plan = make_plan(graph, weights, false);
  metadata = std::move(file.graph_text);
  plan_json = describe_plan(*this);
}

reactnet_context::reactnet_context(const reactnet_model& of, bool keeps, bool times)
    : model(of), keep(keeps), timed(times), partial(of.settings.threads) {
  if (keep) {
    unfused = std::make_unique<Plan>(make_plan(model.graph, model.weights, true));
  }
  arena = AlignedMemory(plan().arena_bytes);
  scratch = AlignedMemory((model.weights.scratch_bytes() + plan().rows_bytes) * model.settings.threads);
  step_seconds.assign(timed ? plan().steps.size() : 0, 0.0);
}

Memory reactnet_context::memory(const std::uint8_t* image, const float* normalized) {
  std::uint8_t* rows = scratch.data() + model.weights.scratch_bytes() * model.settings.threads;
  return {&plan(), arena.data(), image, normalized, partial.data(), scratch.data(), rows};
}

struct reactnet_context::Job {
  reactnet_context* context;
  const std::uint8_t* images;  // one of the two is null
  const float* normalized;
  std::size_t count;
  float* logits;

  void run(const Share& share) const {
    const Graph& graph = context->model.graph;
    const Plan& plan = context->plan();
    const auto elements = static_cast<std::size_t>(graph.values[0].shape.elements());
    const auto classes = static_cast<std::size_t>(graph.values[graph.output].shape.channels);
    Memory memory = context->memory(images, normalized);
    StepClock clock(share.index == 0 && context->timed ? context->step_seconds.data() : nullptr);
    for (std::size_t i = 0; i < count; ++i) {
      clock.start();
      for (const Step& step : plan.steps) {
        run_step(graph, context->model.weights, step, memory, share);
        share.wait();
        clock.tick();
      }
      if (share.index == 0) {
        copy_logits(static_cast<const float*>(memory.at(graph.output)), classes, logits + i * classes);
      }
      share.wait();  // the next image may use the place of the logits
      if (normalized == nullptr) {
        memory.image += elements;
      } else {
        memory.normalized += elements;
      }
    }
  }
};

void reactnet_context::run(Job& job) {
  std::fill(step_seconds.begin(), step_seconds.end(), 0.0);
  model.pool.run([](void* argument, const Share& share) { static_cast<const Job*>(argument)->run(share); }, &job);
  has_values = has_values || job.count > 0;
}

void reactnet_context::run(const std::uint8_t* images, std::size_t count, float* logits) {
  Job job = {this, images, nullptr, count, logits};
  run(job);
}

void reactnet_context::run(const float* normalized, std::size_t count, float* logits) {
  const auto elements = static_cast<std::size_t>(model.graph.values[0].shape.elements());
  for (std::size_t i = 0; i < count * elements; ++i) {
    if (!std::isfinite(normalized[i])) {
      fail(REACTNET_ERROR_ARGUMENT,
           "image " + std::to_string(i / elements) + " holds a NaN or an infinity, at element " +
               std::to_string(i % elements),
           "give finite numbers");
    }
  }
  Job job = {this, nullptr, normalized, count, logits};
  run(job);
}
