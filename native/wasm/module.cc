// The WebAssembly module: one model and one context, called from JavaScript. It imports nothing: a page, node or any
// other host can load it. Texts and arrays are given as addresses in the module's memory.
//
// A fault (a bad file, an image that is too large) ends the module with a trap, after which reactnet_status,
// reactnet_message and reactnet_hint still say what was wrong; make a new instance to go on.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "fault.h"
#include "resize.h"
#include "run_step.h"
#include "session.h"

#define REACTNET_EXPORT(name) extern "C" __attribute__((export_name(name), visibility("default")))

namespace reactnet {

const Place* current_place = nullptr;

namespace {

Fault last_fault = {REACTNET_ERROR_INTERNAL, "reactnet: out of memory, or a fault of the library",
                    "use a smaller image"};
std::unique_ptr<reactnet_model> model;
std::unique_ptr<reactnet_context> context;
AlignedMemory image;  // one, of the model's input size
std::unique_ptr<float[]> logits;

const Shape& input_shape() { return model->graph.values[0].shape; }
const Shape& output_shape() { return model->graph.values[model->graph.output].shape; }

void need_model() {
  if (model == nullptr) {
    fail(REACTNET_ERROR_ARGUMENT, "no model is open", "call reactnet_open first");
  }
}

}  // namespace

void end_module(Fault fault) {
  for (const Place* place = current_place; place != nullptr; place = place->outer) {
    fault.message = place->text(place->where) + ": " + fault.message;
  }
  last_fault = std::move(fault);
  __builtin_trap();
}

bool Claim::try_take() {
  owner_.store(1, std::memory_order_relaxed);
  return true;
}

void Barrier::wait(unsigned) {}

struct Pool::Workers {};

Pool::Pool(unsigned threads) : threads_(threads) {}

Pool::~Pool() = default;

void Pool::run(Job job, void* argument) { job(argument, Share{0, 1, nullptr}); }

}  // namespace reactnet

using namespace reactnet;

REACTNET_EXPORT("reactnet_status") std::int32_t wasm_status() { return last_fault.status; }
REACTNET_EXPORT("reactnet_message") const char* wasm_message() { return last_fault.message.c_str(); }
REACTNET_EXPORT("reactnet_hint") const char* wasm_hint() { return last_fault.hint.c_str(); }

// Room for `bytes`, for a file or an image, until reactnet_free.
REACTNET_EXPORT("reactnet_allocate") void* wasm_allocate(std::size_t bytes) {
  void* room = std::malloc(bytes);
  if (room == nullptr) {
    fail(REACTNET_ERROR_MEMORY, std::to_string(bytes) + " bytes cannot be had", "use a smaller file or image");
  }
  return room;
}
REACTNET_EXPORT("reactnet_free") void wasm_free(void* room) { std::free(room); }

// Checks and opens a packed file that lies at `data`; it may be freed afterwards.
REACTNET_EXPORT("reactnet_open") void wasm_open(const void* data, std::size_t size) {
  context.reset();
  model.reset();
  at_place([] { return std::string("packed bytes"); },
           [&] {
             model = std::make_unique<reactnet_model>(copy_bytes(data, size), Settings{1, isa_best()});
           });
  context = std::make_unique<reactnet_context>(*model, false, false);
  image = AlignedMemory(static_cast<std::uint64_t>(input_shape().elements()));
  logits.reset(new float[static_cast<std::size_t>(output_shape().channels)]);
}

// The graph's JSON and the plan's, as of reactnet_model_metadata and reactnet_model_plan.
REACTNET_EXPORT("reactnet_metadata") const char* wasm_metadata() {
  need_model();
  return model->metadata.c_str();
}
REACTNET_EXPORT("reactnet_plan") const char* wasm_plan() {
  need_model();
  return model->plan_json.c_str();
}

REACTNET_EXPORT("reactnet_classes") std::uint32_t wasm_classes() {
  need_model();
  return static_cast<std::uint32_t>(output_shape().channels);
}

// The image to run: H x W x C bytes, to be written by the host or by reactnet_preprocess.
REACTNET_EXPORT("reactnet_image") std::uint8_t* wasm_image() {
  need_model();
  return image.data();
}
// Resizes and crops pixels of any size (the model's channels, rows packed) into the image, as the file says.
REACTNET_EXPORT("reactnet_preprocess")
void wasm_preprocess(const std::uint8_t* pixels, std::uint32_t height, std::uint32_t width) {
  need_model();
  preprocess(model->graph.preprocessing, {pixels, {height, width, input_shape().channels}}, image.data());
}

// Runs the whole image and returns the logits.
REACTNET_EXPORT("reactnet_run") const float* wasm_run() {
  need_model();
  context->run(image.data(), 1, logits.get());
  return logits.get();
}

// The same a step at a time, so that the host, who has the clock, can time each. All in order, then reactnet_run_end.
REACTNET_EXPORT("reactnet_run_step") void wasm_run_step(std::uint32_t step) {
  need_model();
  if (step >= model->plan.steps.size()) {
    fail(REACTNET_ERROR_ARGUMENT, "no step " + std::to_string(step), "reactnet_plan lists the steps");
  }
  run_step(model->graph, model->weights, model->plan.steps[step], context->memory(image.data(), nullptr), Share{0, 1, nullptr});
}
REACTNET_EXPORT("reactnet_run_end") const float* wasm_run_end() {
  need_model();
  copy_logits(static_cast<const float*>(context->memory(image.data(), nullptr).at(model->graph.output)),
              static_cast<std::size_t>(output_shape().channels), logits.get());
  return logits.get();
}
