// libFuzzer: the reader of packed files. Any bytes are refused with a status, a message and a hint, or make a model.
#include <cstdio>
#include <cstdlib>

#include "fuzz/packed.h"
#include "reactnet.h"

namespace {

void open_once(const std::uint8_t* data, std::size_t size) {
  reactnet_error error = {};
  error.size = sizeof error;
  reactnet_model* model = nullptr;
  const reactnet_status status = reactnet_model_open_memory(data, size, nullptr, &model, &error);
  const bool said = error.message[0] != '\0' && error.hint[0] != '\0';
  if ((status == REACTNET_OK) != (model != nullptr) || (status != REACTNET_OK && !said) ||
      status == REACTNET_ERROR_INTERNAL) {
    std::fprintf(stderr, "status %d, model %p, message '%s', hint '%s'\n", status, static_cast<void*>(model),
                 error.message, error.hint);
    std::abort();
  }
  reactnet_model_free(model);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  open_once(data, size);
  const std::vector<std::uint8_t> right = reactnet::with_right_hash(data, size);
  open_once(right.data(), right.size());
  return 0;
}
