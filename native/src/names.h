// What a name of a value, a tensor or a model may be (docs/format.md, section 1).
#ifndef REACTNET_SRC_NAMES_H_
#define REACTNET_SRC_NAMES_H_

#include <string_view>

namespace reactnet {

inline bool is_name(std::string_view name) {
  constexpr std::string_view kAllowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-/";
  return !name.empty() && name.size() <= 256 && name.find_first_not_of(kAllowed) == std::string_view::npos;
}

}  // namespace reactnet

#endif  // REACTNET_SRC_NAMES_H_
