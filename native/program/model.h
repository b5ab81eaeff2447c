// The C API with an owner: a model and one context.
#ifndef REACTNET_PROGRAM_MODEL_H_
#define REACTNET_PROGRAM_MODEL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "image.h"
#include "reactnet.h"

class Model {
 public:
  // `threads` 0: REACTNET_THREADS, else 1. Throws Mistake, as all that can fail.
  Model(const std::string& path, std::uint32_t threads);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const reactnet_info& info() const { return info_; }
  const char* metadata() const { return reactnet_model_metadata(model_); }
  const char* plan() const { return reactnet_model_plan(model_); }

  // One image of the model's input size, resized and cropped as the file says.
  std::vector<std::uint8_t> preprocess(const Image& image) const;
  void run(const std::vector<std::uint8_t>& input, std::vector<float>* logits);

 private:
  reactnet_model* model_ = nullptr;
  reactnet_context* context_ = nullptr;
  reactnet_info info_ = {};
};

#endif  // REACTNET_PROGRAM_MODEL_H_
