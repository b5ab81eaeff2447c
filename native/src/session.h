// A model ready to run, and the contexts that run it.
#ifndef REACTNET_SRC_SESSION_H_
#define REACTNET_SRC_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "aligned.h"
#include "bind.h"
#include "file.h"
#include "graph.h"
#include "options.h"
#include "plan.h"
#include "pool.h"
#include "run_step.h"

namespace reactnet {

// Copies logits; a NaN gets one form, whatever the machine made of it.
void copy_logits(const float* values, std::size_t classes, float* logits);

}  // namespace reactnet

// Immutable but for the pool, which guards itself.
struct reactnet_model {
  reactnet_model(reactnet::FileBytes bytes, const reactnet::Settings& settings);

  reactnet::Settings settings;
  std::uint64_t file_bytes;
  std::string metadata;   // the graph's JSON text
  reactnet::Graph graph;  // without its tensors
  reactnet::Weights weights;
  reactnet::Plan plan;
  std::string plan_json;
  mutable reactnet::Pool pool;
};

struct reactnet_context {
  reactnet_context(const reactnet_model& model, bool keep, bool timed);

  // Images one after the other; the claim is the caller's business. `normalized`: f32 images that replace the value of
  // the normalize node. Faults: ARGUMENT, MEMORY.
  void run(const std::uint8_t* images, std::size_t count, float* logits);
  void run(const float* normalized, std::size_t count, float* logits);

  const reactnet_model& model;
  const bool keep;
  const bool timed;
  mutable reactnet::Claim claim;
  bool has_values = false;  // a run was completed
  std::unique_ptr<reactnet::Plan> unfused;
  reactnet::AlignedMemory arena;
  reactnet::AlignedMemory scratch;   // Weights::scratch_bytes for each thread, then Plan::rows_bytes for each
  std::vector<float> partial;        // a number for each thread
  std::vector<double> step_seconds;  // if timed: of the last run, over all its images

  // For run_step; one of the two is null.
  reactnet::Memory memory(const std::uint8_t* image, const float* normalized);
  const reactnet::Plan& plan() const { return keep ? *unfused : model.plan; }

 private:
  struct Job;
  void run(Job& job);
};

#endif  // REACTNET_SRC_SESSION_H_
