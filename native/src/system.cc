#include "system.h"

#include <string>
#include <vector>

#include "isa.h"
#include "json.h"
#include "kernel_list.h"

namespace reactnet {
namespace {

std::string list_isas(bool (*holds)(Isa)) {
  std::string names;
  for (int i = 0; i < kIsas; ++i) {
    const auto isa = static_cast<Isa>(i);
    if (holds(isa)) {
      names += (names.empty() ? "" : ",") + json_quote(isa_name(isa));
    }
  }
  return "[" + names + "]";
}

std::string describe() {
  std::vector<KernelInfo> all(all_kernels(nullptr, 0));
  all_kernels(all.data(), all.size());
  std::string kernels;
  for (const KernelInfo& kernel : all) {
    kernels += std::string(kernels.empty() ? "" : ",") + "{\"op\":" + json_quote(kernel.op) +
               ",\"name\":" + json_quote(kernel.name) + ",\"isa\":" + json_quote(isa_name(kernel.isa)) +
               ",\"runs_here\":" + (isa_available(kernel.isa) ? "true" : "false") + "}";
  }
  return "{\"version\":" + json_quote(REACTNET_VERSION) + ",\"isa\":" + json_quote(isa_name(isa_best())) +
         ",\"isas\":" + list_isas(isa_available) + ",\"compiled\":" + list_isas(isa_compiled) + ",\"kernels\":[" +
         kernels + "]}";
}

}  // namespace

const char* system_json() noexcept {
  try {
    static const std::string text = describe();
    return text.c_str();
  } catch (...) {
    return "{}";
  }
}

}  // namespace reactnet
