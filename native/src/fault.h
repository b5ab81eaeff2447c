// What every part of the library throws, and api.cc turns into a status: it never leaves the library.
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

[[noreturn]] inline void fail(reactnet_status status, std::string message, std::string_view hint) {
  throw Fault{status, std::move(message), std::string(hint)};
}

// A text of the file in quotes, cut to what an error can show.
inline std::string quote(std::string_view text) {
  constexpr std::size_t kShown = 80;
  return "'" + std::string(text.substr(0, kShown)) + (text.size() > kShown ? "...'" : "'");
}

}  // namespace reactnet

#endif  // REACTNET_SRC_FAULT_H_
