// What the network says of one image: the likeliest classes, as text or as JSON.
#ifndef REACTNET_PROGRAM_ANSWER_H_
#define REACTNET_PROGRAM_ANSWER_H_

#include <cstdint>
#include <string>
#include <vector>

struct Class {
  std::uint32_t index;
  float logit;
  double probability;  // softmax, for people: the bits of the logit are promised, its own are not
};

struct Answer {
  std::string path;
  double milliseconds;  // of the run, without reading and resizing
  std::vector<Class> classes;
};

// The `top` likeliest classes, the lower index first where two are equal. Throws Mistake if a logit is not finite.
std::vector<Class> likeliest(const std::string& path, const std::vector<float>& logits, std::uint32_t top);

// `names` may be empty: then a class is called by its index. The keys are those of `reactnet predict --json`, and `ms`.
std::string as_text(const Answer& answer, const std::vector<std::string>& names);
std::string as_json(const std::string& model, const std::vector<Answer>& answers, const std::vector<std::string>& names);

#endif  // REACTNET_PROGRAM_ANSWER_H_
