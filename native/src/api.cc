// The C API: arguments are checked and exceptions become statuses here, and nowhere else.
#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>

#include "fault.h"
#include "fpu.h"
#include "peak.h"
#include "reactnet.h"
#include "resize.h"
#include "session.h"
#include "system.h"

namespace {

using namespace reactnet;

// As much of the text as fits, never half a character of UTF-8.
void copy_text(const std::string& text, char* out, std::size_t room) {
  std::size_t length = std::min(text.size(), room - 1);
  if (length < text.size()) {
    while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) {
      --length;
    }
  }
  std::memcpy(out, text.data(), length);
  out[length] = '\0';
}

reactnet_status report(reactnet_error* error, reactnet_status status, const std::string& message,
                       const std::string& hint) noexcept {
  if (error != nullptr && error->size >= sizeof(reactnet_error)) {
    error->status = status;
    copy_text(message, error->message, sizeof error->message);
    copy_text(hint, error->hint, sizeof error->hint);
  }
  return status;
}

// For when not even a string can be made.
reactnet_status report_plain(reactnet_error* error, reactnet_status status, const char* message,
                             const char* hint) noexcept {
  if (error != nullptr && error->size >= sizeof(reactnet_error)) {
    error->status = status;
    std::strncpy(error->message, message, sizeof error->message - 1);
    std::strncpy(error->hint, hint, sizeof error->hint - 1);
    error->message[sizeof error->message - 1] = error->hint[sizeof error->hint - 1] = '\0';
  }
  return status;
}

template <typename Body>
reactnet_status guarded(reactnet_error* error, const Body& body) noexcept {
  constexpr const char* kMemory = "give the process more memory, or use a smaller network or image";
  const FpuGuard guard;
  try {
    body();
    return REACTNET_OK;
  } catch (const Fault& fault) {
    return report(error, fault.status, fault.message, fault.hint);
  } catch (const std::bad_alloc&) {
    return report_plain(error, REACTNET_ERROR_MEMORY, "reactnet: out of memory", kMemory);
  } catch (const std::length_error&) {
    return report_plain(error, REACTNET_ERROR_MEMORY, "reactnet: out of memory", kMemory);
  } catch (...) {
    return report_plain(error, REACTNET_ERROR_INTERNAL, "reactnet: a fault of the library", "please report it");
  }
}

void need(bool good, const char* message, const char* hint) {
  if (!good) {
    fail(REACTNET_ERROR_ARGUMENT, message, hint);
  }
}

// Reads a file and makes a model of it; faults of the file begin with `name`.
template <typename Read>
void open_model(const std::string& name, const reactnet_options* options, reactnet_model** out, const Read& read) {
  const Settings settings = read_settings(options);
  at_place([&] { return name; }, [&] { *out = new reactnet_model(read(), settings); });
}

// Held for a call that touches the context's memory.
class Claimed {
 public:
  explicit Claimed(const reactnet_context& context) : claim_(context.claim) {
    if (!claim_.try_take()) {
      fail(REACTNET_ERROR_BUSY, "the context is running in another thread", "give each thread a context of its own");
    }
  }
  ~Claimed() { claim_.release(); }
  Claimed(const Claimed&) = delete;
  Claimed& operator=(const Claimed&) = delete;

 private:
  Claim& claim_;
};

template <typename Element>
void run(reactnet_context* context, const Element* images, std::size_t count, float* logits) {
  need(context != nullptr, "reactnet_run: context is NULL", "make one with reactnet_context_create");
  need(count == 0 || (images != nullptr && logits != nullptr), "reactnet_run: images or logits are NULL",
       "give arrays of count images and count rows of logits");
  const Claimed claimed(*context);
  context->run(images, count, logits);
}

ValueId find_value(const reactnet_context& context, const char* name) {
  const std::vector<Value>& values = context.model.graph.values;
  for (ValueId value = 1; value < values.size(); ++value) {
    if (values[value].name == name) {
      return value;
    }
  }
  fail(REACTNET_ERROR_ARGUMENT, "no node is named " + quote(name), "reactnet_model_metadata lists the nodes");
}

void copy_value(const reactnet_context& context, ValueId id, void* out, std::size_t* bytes) {
  const Value& value = context.model.graph.values[id];
  const auto elements = static_cast<std::size_t>(value.shape.elements());
  const std::size_t size = value.kind == Kind::kI8 ? elements + sizeof(float) : value_bytes(value);
  const std::size_t room = *bytes;
  *bytes = size;
  if (out == nullptr) {
    return;
  }
  if (room < size) {
    fail(REACTNET_ERROR_ARGUMENT,
         "value " + quote(value.name) + " takes " + std::to_string(size) + " bytes, not " + std::to_string(room),
         "ask for the size with out = NULL");
  }
  if (!context.has_values) {
    fail(REACTNET_ERROR_ARGUMENT, "the context has not run yet", "run an image first");
  }
  const std::uint8_t* data = context.arena.data() + context.plan().offsets[id];
  if (value.kind == Kind::kI8) {
    std::memcpy(out, data, elements);
    std::memcpy(static_cast<std::uint8_t*>(out) + elements, data + value_bytes(value) - sizeof(float), sizeof(float));
  } else {
    std::memcpy(out, data, size);
  }
}

void copy_step_times(const reactnet_context& context, double* seconds, std::size_t* count) {
  const std::size_t room = *count;
  *count = context.step_seconds.size();
  if (seconds == nullptr) {
    return;
  }
  if (room < *count) {
    fail(REACTNET_ERROR_ARGUMENT,
         "there are " + std::to_string(*count) + " steps, and room for " + std::to_string(room),
         "ask for the number with seconds = NULL");
  }
  need(context.has_values, "the context has not run yet", "run an image first");
  std::copy(context.step_seconds.begin(), context.step_seconds.end(), seconds);
}

}  // namespace

extern "C" {

uint32_t reactnet_abi_version(void) { return REACTNET_ABI_VERSION; }

const char* reactnet_system(void) { return system_json(); }

reactnet_status reactnet_model_open(const char* path, const reactnet_options* options, reactnet_model** out,
                                    reactnet_error* error) {
  return guarded(error, [&] {
    need(path != nullptr && out != nullptr, "reactnet_model_open: path or out is NULL", "give both");
    *out = nullptr;
    open_model(path, options, out, [&] { return read_file(path); });
  });
}

reactnet_status reactnet_model_open_memory(const void* data, size_t size, const reactnet_options* options,
                                           reactnet_model** out, reactnet_error* error) {
  return guarded(error, [&] {
    need(out != nullptr && (data != nullptr || size == 0), "reactnet_model_open_memory: data or out is NULL",
         "give both");
    *out = nullptr;
    open_model("packed bytes", options, out, [&] { return copy_bytes(data, size); });
  });
}

void reactnet_model_free(reactnet_model* model) { delete model; }

reactnet_status reactnet_model_info(const reactnet_model* model, reactnet_info* info, reactnet_error* error) {
  return guarded(error, [&] {
    need(model != nullptr && info != nullptr, "reactnet_model_info: model or info is NULL", "give both");
    need(info->size == sizeof(reactnet_info), "reactnet_model_info: info.size is not sizeof(reactnet_info)",
         "set it before the call");
    const Shape& input = model->graph.values[0].shape;
    info->height = static_cast<uint32_t>(input.height);
    info->width = static_cast<uint32_t>(input.width);
    info->channels = static_cast<uint32_t>(input.channels);
    info->classes = static_cast<uint32_t>(model->graph.values[model->graph.output].shape.channels);
    info->accepts_f32 = model->graph.accepts_f32 ? 1 : 0;
    info->threads = model->settings.threads;
    info->steps = static_cast<uint32_t>(model->plan.steps.size());
    info->arena_bytes = model->plan.arena_bytes;
    info->weight_bytes = model->weights.bytes();
    info->file_bytes = model->file_bytes;
  });
}

const char* reactnet_model_metadata(const reactnet_model* model) {
  return model == nullptr ? nullptr : model->metadata.c_str();
}

const char* reactnet_model_plan(const reactnet_model* model) {
  return model == nullptr ? nullptr : model->plan_json.c_str();
}

reactnet_status reactnet_context_create(const reactnet_model* model, uint32_t flags, reactnet_context** out,
                                        reactnet_error* error) {
  return guarded(error, [&] {
    need(model != nullptr && out != nullptr, "reactnet_context_create: model or out is NULL", "give both");
    *out = nullptr;
    need((flags & ~(REACTNET_KEEP_VALUES | REACTNET_TIME_STEPS)) == 0, "reactnet_context_create: unknown flags",
         "use REACTNET_KEEP_VALUES, REACTNET_TIME_STEPS, both or 0");
    *out = new reactnet_context(*model, (flags & REACTNET_KEEP_VALUES) != 0, (flags & REACTNET_TIME_STEPS) != 0);
  });
}

void reactnet_context_free(reactnet_context* context) { delete context; }

reactnet_status reactnet_run_u8(reactnet_context* context, const uint8_t* images, size_t count, float* logits,
                                reactnet_error* error) {
  return guarded(error, [&] { run(context, images, count, logits); });
}

reactnet_status reactnet_run_f32(reactnet_context* context, const float* images, size_t count, float* logits,
                                 reactnet_error* error) {
  return guarded(error, [&] {
    if (context != nullptr && !context->model.graph.accepts_f32) {
      fail(REACTNET_ERROR_UNSUPPORTED, "the model " + quote(context->model.graph.model) + " takes no f32 images",
           "give uint8 images, or compile the model with ends=\"float\"");
    }
    run(context, images, count, logits);
  });
}

reactnet_status reactnet_context_value(const reactnet_context* context, const char* node, void* out, size_t* bytes,
                                       reactnet_error* error) {
  return guarded(error, [&] {
    need(context != nullptr && node != nullptr && bytes != nullptr,
         "reactnet_context_value: context, node or bytes is NULL", "give all three");
    need(context->keep, "reactnet_context_value: the context keeps no values", "make it with REACTNET_KEEP_VALUES");
    const Claimed claimed(*context);
    copy_value(*context, find_value(*context, node), out, bytes);
  });
}

reactnet_status reactnet_context_step_times(const reactnet_context* context, double* seconds, size_t* count,
                                            reactnet_error* error) {
  return guarded(error, [&] {
    need(context != nullptr && count != nullptr, "reactnet_context_step_times: context or count is NULL", "give both");
    need(context->timed, "reactnet_context_step_times: the context keeps no times", "make it with REACTNET_TIME_STEPS");
    const Claimed claimed(*context);
    copy_step_times(*context, seconds, count);
  });
}

reactnet_status reactnet_popcount_peak(double seconds, double* gmacs, reactnet_error* error) {
  return guarded(error, [&] {
    need(gmacs != nullptr, "reactnet_popcount_peak: gmacs is NULL", "give the place of the result");
    need(seconds > 0 && seconds <= 60, "reactnet_popcount_peak: seconds are not above 0 and at most 60", "give 0.1");
    *gmacs = popcount_peak_gmacs(seconds);
  });
}

reactnet_status reactnet_preprocess(const reactnet_model* model, const uint8_t* pixels, uint32_t height, uint32_t width,
                                    uint8_t* out, reactnet_error* error) {
  return guarded(error, [&] {
    need(model != nullptr && pixels != nullptr && out != nullptr, "reactnet_preprocess: model, pixels or out is NULL",
         "give all three");
    preprocess(model->graph.preprocessing, {pixels, {height, width, model->graph.values[0].shape.channels}}, out);
  });
}

reactnet_status reactnet_resize(const uint8_t* pixels, uint32_t height, uint32_t width, uint32_t channels,
                                uint32_t out_height, uint32_t out_width, uint8_t* out, reactnet_error* error) {
  return guarded(error, [&] {
    need(pixels != nullptr && out != nullptr, "reactnet_resize: pixels or out is NULL", "give both");
    need(channels >= 1 && channels <= 4, "reactnet_resize: channels are not 1 to 4", "give grey, RGB or RGBA pixels");
    resize({pixels, {height, width, channels}}, {out_height, out_width}, {0, 0, out_height, out_width}, out);
  });
}

}  // extern "C"
