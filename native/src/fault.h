// What every part of the library throws, and api.cc turns into a status: it never leaves the library.
// WebAssembly is built without exceptions: there a fault ends the module, which keeps the text for the page
// (wasm/module.cc).
#ifndef REACTNET_SRC_FAULT_H_
#define REACTNET_SRC_FAULT_H_

#include <string>
#include <string_view>

#include "reactnet.h"

namespace reactnet {

struct Fault {
  reactnet_status status;
  std::string message;  // where, and what is wrong with the value found
  std::string hint;     // the cure
};

inline constexpr std::string_view kDamaged = "the file is damaged or was not written by reactnet; compile it again";

#if defined(__cpp_exceptions)

[[noreturn]] inline void fail(reactnet_status status, std::string message, std::string_view hint) {
  throw Fault{status, std::move(message), std::string(hint)};
}

// Runs `body`; the message of a fault in it begins with `where()`.
template <typename Where, typename Body>
void at_place(const Where& where, const Body& body) {
  try {
    body();
  } catch (Fault& fault) {
    fault.message = where() + ": " + fault.message;
    throw;
  }
}

#else

[[noreturn]] void end_module(Fault fault);

[[noreturn]] inline void fail(reactnet_status status, std::string message, std::string_view hint) {
  end_module({status, std::move(message), std::string(hint)});
}

// The places that the call is in, innermost first.
struct Place {
  const Place* outer;
  const void* where;
  std::string (*text)(const void* where);
};
extern const Place* current_place;

template <typename Where, typename Body>
void at_place(const Where& where, const Body& body) {
  const Place place = {current_place, &where, [](const void* of) { return (*static_cast<const Where*>(of))(); }};
  current_place = &place;
  body();
  current_place = place.outer;
}

#endif

// A text of the file in quotes, cut to what an error can show.
inline std::string quote(std::string_view text) {
  constexpr std::size_t kShown = 80;
  return "'" + std::string(text.substr(0, kShown)) + (text.size() > kShown ? "...'" : "'");
}

}  // namespace reactnet

#endif  // REACTNET_SRC_FAULT_H_
