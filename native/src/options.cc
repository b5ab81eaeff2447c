#include "options.h"

#include <cstdlib>
#include <string>

#include "fault.h"
#include "pool.h"

namespace reactnet {
namespace {

// The names of the ISAs that `holds`, for a message.
std::string names_of(bool (*holds)(Isa)) {
  std::string names;
  for (int i = 0; i < kIsas; ++i) {
    const auto isa = static_cast<Isa>(i);
    if (holds(isa)) {
      names += (names.empty() ? "" : " ") + std::string(isa_name(isa));
    }
  }
  return names;
}

Isa read_isa(const char* name, const char* source) {
  Isa isa = Isa::kScalar;
  const std::string found = std::string(source) + " is " + quote(name);
  if (!isa_parse(name, &isa)) {
    fail(REACTNET_ERROR_ARGUMENT, found + ", which is no ISA", "use one of: " + names_of([](Isa) { return true; }));
  }
  if (!isa_available(isa)) {
    fail(REACTNET_ERROR_UNSUPPORTED, found + ", which this machine or this build lacks",
         "use one of: " + names_of(isa_available));
  }
  return isa;
}

[[noreturn]] void bad_threads(const std::string& source, const std::string& value) {
  fail(REACTNET_ERROR_ARGUMENT, source + " is " + value, "use 1 to " + std::to_string(kMaxThreads));
}

unsigned read_threads(const char* text) {
  unsigned threads = 0;
  bool good = *text != '\0';
  for (const char* digit = text; good && *digit != '\0'; ++digit) {
    good = *digit >= '0' && *digit <= '9' && threads <= kMaxThreads;
    threads = threads * 10 + static_cast<unsigned>(*digit - '0');
  }
  if (!good || threads < 1 || threads > kMaxThreads) {
    bad_threads("REACTNET_THREADS", quote(text));
  }
  return threads;
}

}  // namespace

Settings read_settings(const reactnet_options* options) {
  if (options != nullptr && options->size != sizeof(reactnet_options)) {
    fail(REACTNET_ERROR_ARGUMENT, "options.size is " + std::to_string(options->size),
         "set it to sizeof(reactnet_options), which is " + std::to_string(sizeof(reactnet_options)));
  }
  Settings settings = {1, isa_best()};
  const char* isa = std::getenv("REACTNET_ISA");
  const char* threads = std::getenv("REACTNET_THREADS");
  if (options != nullptr && options->isa != nullptr) {
    settings.isa = read_isa(options->isa, "options.isa");
  } else if (isa != nullptr) {
    settings.isa = read_isa(isa, "REACTNET_ISA");
  }
  if (options != nullptr && options->threads > kMaxThreads) {
    bad_threads("options.threads", std::to_string(options->threads));
  } else if (options != nullptr && options->threads != 0) {
    settings.threads = options->threads;
  } else if (threads != nullptr) {
    settings.threads = read_threads(threads);
  }
  return settings;
}

}  // namespace reactnet
