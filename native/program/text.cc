#include "text.h"

#include <cstdint>
#include <cstdio>

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Goes through valid JSON from left to right.
class Reader {
 public:
  explicit Reader(std::string_view json) : json_(json) {}

  // Past blanks, and past `c` if it comes next.
  bool take(char c) {
    while (at_ < json_.size() && std::string_view(" \t\r\n").find(json_[at_]) != std::string_view::npos) ++at_;
    const bool found = at_ < json_.size() && json_[at_] == c;
    at_ += found ? 1 : 0;
    return found;
  }

  bool next_is(char c) {
    const bool found = take(c);
    at_ -= found ? 1 : 0;
    return found;
  }

  std::string text() {
    std::string out;
    if (!take('"')) {
      return out;
    }
    while (at_ < json_.size() && json_[at_] != '"') {
      if (json_[at_] == '\\') {
        escape(&out);
      } else {
        out += json_[at_++];
      }
    }
    ++at_;
    return out;
  }

  // Past one value of any kind.
  void skip() {
    std::size_t depth = 0;
    do {
      if (next_is('"')) {
        text();
      } else if (take('[') || take('{')) {
        ++depth;
      } else if (take(']') || take('}')) {
        --depth;
      } else if (!take(',') && !take(':')) {
        while (at_ < json_.size() && std::string_view(",:]} \t\r\n").find(json_[at_]) == std::string_view::npos) ++at_;
      }
    } while (depth > 0 && at_ < json_.size());
  }

  // To the value of `key` in the object that comes next.
  bool find(std::string_view key) {
    if (!take('{')) {
      return false;
    }
    while (next_is('"')) {
      const bool found = text() == key;
      take(':');
      if (found) {
        return true;
      }
      skip();
      take(',');
    }
    return false;
  }

 private:
  void escape(std::string* out) {
    const char kind = at_ + 1 < json_.size() ? json_[at_ + 1] : '\0';
    at_ += 2;
    constexpr std::string_view kKinds = "bfnrt";
    const std::size_t control = kKinds.find(kind);
    if (kind == 'u') {
      append(code_point(), out);
    } else {
      *out += control != std::string_view::npos ? "\b\f\n\r\t"[control] : kind;
    }
  }

  std::uint32_t code_point() {
    const std::uint32_t first = four_digits();
    if (first < 0xD800 || first > 0xDBFF || json_.substr(at_, 2) != "\\u") {
      return first;
    }
    at_ += 2;
    return 0x10000 + ((first - 0xD800) << 10) + ((four_digits() - 0xDC00) & 0x3FF);
  }

  std::uint32_t four_digits() {
    std::uint32_t value = 0;
    for (int i = 0; i < 4 && at_ < json_.size(); ++i, ++at_) {
      const char c = json_[at_];
      value = 16 * value + static_cast<std::uint32_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
  }

  static void append(std::uint32_t code, std::string* out) {
    const auto push = [&](std::uint32_t byte) { *out += static_cast<char>(byte); };
    if (code < 0x80) {
      push(code);
    } else if (code < 0x800) {
      push(0xC0 | code >> 6);
      push(0x80 | (code & 0x3F));
    } else if (code >= 0xD800 && code <= 0xDFFF) {
      *out += kReplacement;
    } else if (code < 0x10000) {
      push(0xE0 | code >> 12);
      push(0x80 | (code >> 6 & 0x3F));
      push(0x80 | (code & 0x3F));
    } else {
      push(0xF0 | code >> 18);
      push(0x80 | (code >> 12 & 0x3F));
      push(0x80 | (code >> 6 & 0x3F));
      push(0x80 | (code & 0x3F));
    }
  }

  std::string_view json_;
  std::size_t at_ = 0;
};

// How many bytes the character at the front of `text` has; 0: it is no UTF-8.
std::size_t character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte(0);
  const std::size_t size = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
  if (size > text.size()) {
    return 0;
  }
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) {
      return 0;
    }
  }
  if (size > 2) {
    const unsigned two = static_cast<unsigned>(first) << 8 | byte(1);  // too long, a surrogate, past U+10FFFF
    if ((two >> 8 == 0xE0 && two < 0xE0A0) || (two >= 0xEDA0 && two < 0xEE00) || (two >> 8 == 0xF0 && two < 0xF090) ||
        two >= 0xF490) {
      return 0;
    }
  }
  return size;
}

}  // namespace

std::vector<std::string> string_list(std::string_view json, std::string_view key) {
  Reader reader(json);
  std::vector<std::string> texts;
  if (reader.find(key) && reader.take('[')) {
    while (reader.next_is('"')) {
      texts.push_back(reader.text());
      reader.take(',');
    }
  }
  return texts;
}

std::string string_value(std::string_view json, std::string_view key) {
  Reader reader(json);
  return reader.find(key) ? reader.text() : "";
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = character(text.substr(at));
    const char c = text[at];
    if (size == 0) {
      out += kReplacement;
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (size == 1 && (static_cast<std::uint8_t>(c) < 0x20 || c == 0x7F)) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", static_cast<unsigned>(c));
      out += escape;
    } else {
      out += text.substr(at, size);
    }
    at += size == 0 ? 1 : size;
  }
  return out + '"';
}

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = character(text.substr(at));
    const auto first = static_cast<std::uint8_t>(text[at]);
    // C0, DEL, and C1: U+0080 to U+009F, which some terminals obey.
    const bool control = size == 0 || (size == 1 && (first < 0x20 || first == 0x7F)) ||
                         (size == 2 && first == 0xC2 && static_cast<std::uint8_t>(text[at + 1]) < 0xA0);
    out += control ? "?" : text.substr(at, size);
    at += size == 0 ? 1 : size;
  }
  return out;
}
