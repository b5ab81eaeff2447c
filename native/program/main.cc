// reactnet-run: classify images with a packed file, without Python. Uses the public C API only.
#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include "answer.h"
#include "bench.h"
#include "mistake.h"
#include "model.h"
#include "options.h"
#include "text.h"

namespace {

constexpr int kUsage = 2;

template <typename... Numbers>
std::string format(const char* how, Numbers... numbers) {
  char text[512];
  std::snprintf(text, sizeof(text), how, numbers...);
  return text;
}

Image read_image(const std::string& path, const Options& options, const reactnet_info& info) {
  return options.raw_height == 0 ? read_pnm(path, info.channels)
                                 : read_raw(path, options.raw_height, options.raw_width, info.channels);
}

std::string classify(const Options& options, Model* model) {
  const std::vector<std::string> names = string_list(model->metadata(), "class_names");
  std::vector<float> logits;
  std::vector<Answer> answers;
  std::string text;
  for (const std::string& path : options.images) {
    const std::vector<std::uint8_t> input = model->preprocess(read_image(path, options, model->info()));
    const double begin = now_ms();
    model->run(input, &logits);
    const double milliseconds = now_ms() - begin;
    answers.push_back({path, milliseconds, likeliest(path, logits, options.top)});
    text += as_text(answers.back(), names);
  }
  return options.json ? as_json(options.model, answers, names) : text;
}

std::string describe(const Options& options, const Model& model, double load_ms) {
  const reactnet_info& info = model.info();
  const char* how = options.json ? "\"input\": [%u, %u, %u], \"classes\": %u, \"steps\": %u, \"isa\": \"%s\", \"threads\": %u, "
                                   "\"file_bytes\": %llu, \"arena_bytes\": %llu, \"load_ms\": %.3f}\n"
                                 : "  input %u x %u x %u, %u classes, %u steps, isa %s, threads %u\n"
                                   "  file %llu bytes, arena %llu bytes, loaded in %.1f ms\n";
  const std::string numbers = format(how, info.height, info.width, info.channels, info.classes, info.steps,
                                     string_value(model.plan(), "isa").c_str(), info.threads,
                                     static_cast<unsigned long long>(info.file_bytes),
                                     static_cast<unsigned long long>(info.arena_bytes), load_ms);
  return options.json ? "{\"model\": " + quoted(options.model) + ", " + numbers
                      : printable(options.model) + "\n" + numbers;
}

std::string bench(const Options& options, Model* model, double load_ms) {
  const reactnet_info& info = model->info();
  const std::vector<std::uint8_t> input =
      options.images.empty() ? noise(info) : model->preprocess(read_image(options.images[0], options, info));
  const Bench found = measure(model, input);
  const std::string isa = string_value(model->plan(), "isa");
  const char* how =
      options.json
          ? "{\"ms_median\": %.6f, \"ms_min\": %.6f, \"runs\": %zu, \"load_ms\": %.3f, \"isa\": \"%s\", \"threads\": %u, "
            "\"file_bytes\": %llu, \"arena_bytes\": %llu, \"peak_rss_bytes\": %llu}\n"
          : "median %.3f ms, minimum %.3f ms of %zu runs; loaded in %.1f ms\n"
            "isa %s, threads %u; file %llu bytes, arena %llu bytes, peak memory %llu bytes\n";
  return format(how, found.ms_median, found.ms_min, found.runs, load_ms, isa.c_str(), info.threads,
                static_cast<unsigned long long>(info.file_bytes), static_cast<unsigned long long>(info.arena_bytes),
                static_cast<unsigned long long>(peak_rss_bytes()));
}

std::string run(const Options& options) {
  if (options.help) {
    return kHelp;
  }
  if (options.version) {
    return "reactnet-run " + string_value(reactnet_system(), "version") + "\n";
  }
  if (options.system) {
    return std::string(reactnet_system()) + "\n";
  }
  const double begin = now_ms();
  Model model(options.model, options.threads);
  const double load_ms = now_ms() - begin;
  if (options.bench) {
    return bench(options, &model, load_ms);
  }
  return options.images.empty() ? describe(options, model, load_ms) : classify(options, &model);
}

int fail(const Mistake& mistake) {
  std::fprintf(stderr, "error: %s\nhint: %s\n", printable(mistake.problem).c_str(), printable(mistake.hint).c_str());
  return kUsage;
}

}  // namespace

int main(int count, char** words) {
  try {
    const std::string text = run(parse_options(count, words));
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
      throw Mistake{"reactnet-run: the output cannot be written", "see that the disk has room"};
    }
    return 0;
  } catch (const Mistake& mistake) {
    return fail(mistake);
  } catch (const std::bad_alloc&) {
    return fail({"reactnet-run: out of memory", "use a smaller image or model, or a machine with more memory"});
  } catch (const std::exception& error) {
    return fail({std::string("reactnet-run: ") + error.what(), "report it: this is a bug"});
  }
}
