#include "model.h"

#include "mistake.h"

namespace {

struct Error : reactnet_error {
  Error() : reactnet_error{sizeof(reactnet_error), 0, "", ""} {}
};

void check(reactnet_status status, const reactnet_error& error) {
  if (status != REACTNET_OK) {
    throw Mistake{error.message, error.hint};
  }
}

}  // namespace

Model::Model(const std::string& path, std::uint32_t threads) {
  Error error;
  const reactnet_options options = {sizeof(reactnet_options), threads, nullptr};
  check(reactnet_model_open(path.c_str(), &options, &model_, &error), error);
  info_.size = sizeof(info_);
  const reactnet_status made = reactnet_context_create(model_, 0, &context_, &error);
  const reactnet_status told = made == REACTNET_OK ? reactnet_model_info(model_, &info_, &error) : made;
  if (told != REACTNET_OK) {  // the destructor of an object half made does not run
    reactnet_context_free(context_);
    reactnet_model_free(model_);
    check(told, error);
  }
}

Model::~Model() {
  reactnet_context_free(context_);
  reactnet_model_free(model_);
}

std::vector<std::uint8_t> Model::preprocess(const Image& image) const {
  Error error;
  std::vector<std::uint8_t> input(std::size_t{info_.height} * info_.width * info_.channels);
  check(reactnet_preprocess(model_, image.pixels.data(), image.height, image.width, input.data(), &error), error);
  return input;
}

void Model::run(const std::vector<std::uint8_t>& input, std::vector<float>* logits) {
  Error error;
  logits->resize(info_.classes);
  check(reactnet_run_u8(context_, input.data(), 1, logits->data(), &error), error);
}
