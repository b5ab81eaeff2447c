#include "answer.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "mistake.h"
#include "text.h"

namespace {

std::string label(const Class& entry, const std::vector<std::string>& names) {
  return names.empty() ? std::to_string(entry.index) : names[entry.index];
}

// Columns that a terminal gives to UTF-8, wide characters not counted.
std::size_t columns(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

template <typename... Numbers>
std::string format(const char* how, Numbers... numbers) {
  char text[96];
  std::snprintf(text, sizeof(text), how, numbers...);
  return text;
}

}  // namespace

std::vector<Class> likeliest(const std::string& path, const std::vector<float>& logits, std::uint32_t top) {
  if (!std::all_of(logits.begin(), logits.end(), [](float logit) { return std::isfinite(logit); })) {
    throw Mistake{path + ": the network answers with numbers that are not finite", "train it again: its weights are broken"};
  }
  std::vector<std::uint32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0u);
  const auto likelier = [&](std::uint32_t a, std::uint32_t b) { return logits[a] > logits[b]; };
  std::stable_sort(order.begin(), order.end(), likelier);
  const double most = logits[order[0]];
  double sum = 0;
  for (const float logit : logits) {
    sum += std::exp(logit - most);
  }
  std::vector<Class> classes;
  for (std::size_t i = 0; i < std::min<std::size_t>(top, order.size()); ++i) {
    const float logit = logits[order[i]];
    classes.push_back({order[i], logit, std::exp(logit - most) / sum});
  }
  return classes;
}

std::string as_text(const Answer& answer, const std::vector<std::string>& names) {
  std::string text = printable(answer.path) + format("  (%.3f ms)\n", answer.milliseconds);
  std::size_t width = 0;
  for (const Class& entry : answer.classes) {
    width = std::max(width, columns(printable(label(entry, names))));
  }
  for (const Class& entry : answer.classes) {
    const std::string name = printable(label(entry, names));
    text += "  " + name + std::string(width - columns(name), ' ') + format("  %7.2f %%\n", 100 * entry.probability);
  }
  return text;
}

std::string as_json(const std::string& model, const std::vector<Answer>& answers, const std::vector<std::string>& names) {
  std::string text = "{\"model\": " + quoted(model) + ", \"predictions\": [";
  for (const Answer& answer : answers) {
    text += (&answer == &answers.front() ? "" : ",");
    text += "\n  {\"path\": " + quoted(answer.path) + format(", \"ms\": %.6f, \"classes\": [", answer.milliseconds);
    for (const Class& entry : answer.classes) {
      text += (&entry == &answer.classes.front() ? "" : ",");
      text += "\n    {\"index\": " + std::to_string(entry.index) + ", \"label\": " + quoted(label(entry, names));
      text += format(", \"probability\": %.17g", entry.probability);
      text += format(", \"logit\": %.9g}", static_cast<double>(entry.logit));  // nine digits give a float back to the bit
    }
    text += "]}";
  }
  return text + "]}\n";
}
