#include "options.h"

#include <string_view>

#include "mistake.h"

const char* const kHelp =
    "Usage: reactnet-run [OPTIONS] MODEL.rnet [IMAGE...]\n"
    "\n"
    "Names the likeliest classes of images; without an image, says what is in the model.\n"
    "An image is a binary PPM or PGM file (P6, P5, maxval 255), or raw pixels: see --size.\n"
    "It is resized and cropped as the model's preprocessing says.\n"
    "\n"
    "  --size HxW     the images are raw: height x width x channels bytes, rows packed, channels last\n"
    "  --top K        classes to name for each image; 5\n"
    "  --threads N    threads to run on; REACTNET_THREADS, else 1\n"
    "  --json         JSON instead of text\n"
    "  --bench        run the first image (without one, noise) for a second and give times and memory\n"
    "  --system       no model: print what this machine can run, as JSON\n"
    "  --version, -h, --help\n"
    "\n"
    "REACTNET_ISA limits the instruction set: scalar avx2 avx512 neon dotprod. A mistake ends in an error: line and exit code 2.\n";

namespace {

constexpr const char* kSeeHelp = "see reactnet-run --help";
constexpr std::uint32_t kMaxSide = 65536;

// Digits only, from `least` to `most`: a plus sign, a blank or a wrap-around is no number.
std::uint32_t number(std::string_view text, std::string_view option, std::uint32_t least, std::uint32_t most) {
  std::uint64_t value = 0;
  bool good = !text.empty() && text.size() <= 9;
  for (const char c : text) {
    good = good && c >= '0' && c <= '9';
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  if (!good || value < least || value > most) {
    throw Mistake{"reactnet-run: " + std::string(option) + " is '" + std::string(text) + "'",
                  "give a whole number from " + std::to_string(least) + " to " + std::to_string(most)};
  }
  return static_cast<std::uint32_t>(value);
}

void read_size(std::string_view text, Options* options) {
  const std::size_t cross = text.find('x');
  if (cross == std::string_view::npos) {
    throw Mistake{"reactnet-run: --size is '" + std::string(text) + "'", "give height x width: --size 480x640"};
  }
  options->raw_height = number(text.substr(0, cross), "the height of --size", 1, kMaxSide);
  options->raw_width = number(text.substr(cross + 1), "the width of --size", 1, kMaxSide);
}

bool* find_switch(std::string_view word, Options* options) {
  if (word == "--json") return &options->json;
  if (word == "--bench") return &options->bench;
  if (word == "--system") return &options->system;
  if (word == "--version") return &options->version;
  if (word == "--help" || word == "-h") return &options->help;
  return nullptr;
}

void take_value(std::string_view option, std::string_view value, Options* options) {
  if (option == "--size") {
    read_size(value, options);
  } else if (option == "--top") {
    options->top = number(value, option, 1, kMaxSide);
  } else if (option == "--threads") {
    options->threads = number(value, option, 1, 1024);
  } else {
    throw Mistake{"reactnet-run: unknown option '" + std::string(option) + "'", kSeeHelp};
  }
}

void check(const Options& options) {
  if (options.help || options.version) {
    return;
  }
  if (options.system) {
    if (!options.model.empty()) {
      throw Mistake{"reactnet-run: --system takes no model, found '" + options.model + "'", kSeeHelp};
    }
  } else if (options.model.empty()) {
    throw Mistake{"reactnet-run: no model given", "reactnet-run MODEL.rnet IMAGE.ppm"};
  }
}

}  // namespace

Options parse_options(int count, char** words) {
  Options options;
  bool only_files = false;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    if (only_files || word.empty() || word[0] != '-' || word == "-") {
      (options.model.empty() && !word.empty() ? options.model : options.images.emplace_back()) = word;
    } else if (word == "--") {
      only_files = true;
    } else if (bool* flag = find_switch(word, &options)) {
      *flag = true;
    } else {
      const std::size_t equals = word.find('=');
      const std::string_view option = word.substr(0, equals);
      const bool known = option == "--size" || option == "--top" || option == "--threads";
      if (known && equals == std::string_view::npos && i + 1 == count) {
        throw Mistake{"reactnet-run: " + std::string(option) + " needs a value", kSeeHelp};
      }
      take_value(option, equals != std::string_view::npos ? word.substr(equals + 1) : known ? words[++i] : "", &options);
    }
  }
  check(options);
  return options;
}
