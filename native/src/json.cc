#include "json.h"

#include <algorithm>
#include <cstddef>

#include "fault.h"

namespace reactnet {
namespace {

constexpr int kMaxDepth = 8;
constexpr std::size_t kMaxDigits = 18;  // more than any integer of the format, and never past int64

class Parser {
 public:
  Parser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  JsonDocument parse() {
    value(1);
    skip_space();
    if (place_ != text_.size()) {
      fault("bytes follow the JSON text");
    }
    return std::move(document_);
  }

 private:
  [[noreturn]] void fault(const std::string& problem) const {
    fail(REACTNET_ERROR_FORMAT, where_ + ": " + problem + " at byte " + std::to_string(place_), kDamaged);
  }

  bool at(char wanted) const { return place_ < text_.size() && text_[place_] == wanted; }

  bool digit() const { return place_ < text_.size() && text_[place_] >= '0' && text_[place_] <= '9'; }

  void skip_space() {
    while (at(' ') || at('\t') || at('\n') || at('\r')) {
      ++place_;
    }
  }

  void expect(char wanted) {
    if (!at(wanted)) {
      fault(std::string("not JSON: '") + wanted + "' is missing");
    }
    ++place_;
  }

  std::uint32_t add(JsonType type, std::int64_t number, std::size_t size = 0) {
    const auto index = static_cast<std::uint32_t>(document_.nodes.size());
    document_.nodes.push_back({type, static_cast<std::uint32_t>(size), index + 1, number});
    return index;
  }

  void value(int depth) {
    skip_space();
    if (at('{')) {
      object(depth);
    } else if (at('[')) {
      array(depth);
    } else if (at('"')) {
      string();
    } else if (at('-') || digit()) {
      integer();
    } else if (!word("true", JsonType::kBool, 1) && !word("false", JsonType::kBool, 0) &&
               !word("null", JsonType::kNull, 0)) {
      fault("not JSON: no value");
    }
  }

  bool word(std::string_view text, JsonType type, std::int64_t number) {
    if (text_.substr(place_, text.size()) != text) {
      return false;
    }
    place_ += text.size();
    add(type, number);
    return true;
  }

  void integer() {
    const std::size_t begin = place_;
    const bool negative = at('-');
    place_ += negative ? 1 : 0;
    const std::size_t digits = place_;
    std::int64_t number = 0;
    while (digit() && place_ - digits < kMaxDigits) {
      number = number * 10 + (text_[place_++] - '0');
    }
    const std::size_t count = place_ - digits;
    const bool leading_zero = count > 1 && text_[digits] == '0';
    if (count == 0 || digit() || leading_zero || at('.') || at('e') || at('E')) {
      fault(quote(text_.substr(begin, place_ - begin + 1)) + " is not a plain integer");
    }
    add(JsonType::kInteger, negative ? -number : number);
  }

  void open(int depth) {
    if (depth > kMaxDepth) {
      fault("nested deeper than " + std::to_string(kMaxDepth));
    }
    ++place_;
    skip_space();
  }

  void close(std::uint32_t index, std::uint32_t size) {
    ++place_;
    document_.nodes[index].size = size;
    document_.nodes[index].end = static_cast<std::uint32_t>(document_.nodes.size());
  }

  void array(int depth) {
    const std::uint32_t index = add(JsonType::kArray, 0);
    open(depth);
    std::uint32_t size = 0;
    while (!at(']')) {
      if (size > 0) {
        expect(',');
      }
      value(depth + 1);
      skip_space();
      ++size;
    }
    close(index, size);
  }

  void object(int depth) {
    const std::uint32_t index = add(JsonType::kObject, 0);
    open(depth);
    std::uint32_t size = 0;
    while (!at('}')) {
      if (size > 0) {
        expect(',');
        skip_space();
      }
      if (!at('"')) {
        fault("not JSON: a key is missing");
      }
      string();
      skip_space();
      expect(':');
      value(depth + 1);
      skip_space();
      ++size;
    }
    close(index, size);
    refuse_duplicates(Json(document_, index));
  }

  void refuse_duplicates(Json object) const {
    std::vector<std::string_view> keys;
    keys.reserve(object.size());
    Json key = object.first();
    for (std::uint32_t i = 0; i < object.size(); ++i, key = key.next().next()) {
      keys.push_back(key.text());
    }
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice != keys.end()) {
      fault("key " + quote(*twice) + " stands twice");
    }
  }

  void string() {
    const std::size_t begin = document_.texts.size();
    ++place_;
    while (!at('"')) {
      if (place_ >= text_.size()) {
        fault("not JSON: a string has no end");
      }
      const auto byte = static_cast<unsigned char>(text_[place_]);
      if (byte < 0x20) {
        fault("not JSON: a control character in a string");
      }
      if (byte == '\\') {
        escape();
      } else if (byte < 0x80) {
        document_.texts.push_back(text_[place_++]);
      } else {
        multibyte(byte);
      }
    }
    ++place_;
    add(JsonType::kString, static_cast<std::int64_t>(begin), document_.texts.size() - begin);
  }

  // Unicode, table 3-7: no overlong forms, no surrogates, nothing past U+10FFFF.
  void multibyte(unsigned char first) {
    const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || place_ + length > text_.size()) {
      fault("not UTF-8");
    }
    unsigned low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    for (std::size_t i = 1; i < length; ++i) {
      const auto byte = static_cast<unsigned char>(text_[place_ + i]);
      if (byte < low || byte > high) {
        fault("not UTF-8");
      }
      low = 0x80;
      high = 0xBF;
    }
    document_.texts.append(text_.substr(place_, length));
    place_ += length;
  }

  void escape() {
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    ++place_;
    if (at('u')) {
      unicode_escape();
      return;
    }
    const std::size_t which = place_ < text_.size() ? kNames.find(text_[place_]) : std::string_view::npos;
    if (which == std::string_view::npos) {
      fault("not JSON: an unknown escape");
    }
    document_.texts.push_back(kMeanings[which]);
    ++place_;
  }

  std::uint32_t four_hex() {
    std::uint32_t code = 0;
    for (int i = 0; i < 4; ++i) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      const char digit = place_ < text_.size() ? text_[place_] : ' ';
      const char lower = digit >= 'A' && digit <= 'F' ? static_cast<char>(digit - 'A' + 'a') : digit;
      const std::size_t found = kDigits.find(lower);
      if (found == std::string_view::npos) {
        fault("not JSON: \\u wants four hex digits");
      }
      code = code * 16 + static_cast<std::uint32_t>(found);
      ++place_;
    }
    return code;
  }

  void unicode_escape() {
    ++place_;
    std::uint32_t code = four_hex();
    if (code >= 0xD800 && code <= 0xDFFF) {
      std::uint32_t low = 0;
      if (code < 0xDC00 && at('\\') && text_.substr(place_, 2) == "\\u") {
        place_ += 2;
        low = four_hex();
      }
      if (low < 0xDC00 || low > 0xDFFF) {
        fault("half of a surrogate pair");
      }
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    append_utf8(code);
  }

  void append_utf8(std::uint32_t code) {
    const auto put = [this](std::uint32_t byte) { document_.texts.push_back(static_cast<char>(byte)); };
    if (code < 0x80) {
      put(code);
      return;
    }
    if (code < 0x800) {
      put(0xC0 | (code >> 6));
    } else if (code < 0x10000) {
      put(0xE0 | (code >> 12));
      put(0x80 | ((code >> 6) & 0x3F));
    } else {
      put(0xF0 | (code >> 18));
      put(0x80 | ((code >> 12) & 0x3F));
      put(0x80 | ((code >> 6) & 0x3F));
    }
    put(0x80 | (code & 0x3F));
  }

  std::string_view text_;
  const std::string& where_;
  std::size_t place_ = 0;
  JsonDocument document_;
};

std::string_view type_name(Json value) {
  switch (value.type()) {
    case JsonType::kNull:
      return "null";
    case JsonType::kBool:
      return value.boolean() ? "true" : "false";
    case JsonType::kInteger:
      return "a number";
    case JsonType::kString:
      return "a string";
    case JsonType::kArray:
      return "a list";
    case JsonType::kObject:
      return "an object";
  }
  return "nothing";
}

void expect_type(Json value, JsonType type, const char* name, const std::string& where) {
  if (value.type() != type) {
    fail(REACTNET_ERROR_FORMAT, where + ": " + std::string(type_name(value)) + " is not " + name, kDamaged);
  }
}

}  // namespace

JsonDocument parse_json(std::string_view text, const std::string& where) { return Parser(text, where).parse(); }

std::string_view expect_text(Json value, const std::string& where) {
  expect_type(value, JsonType::kString, "a string", where);
  return value.text();
}

std::int64_t expect_integer(Json value, const std::string& where) {
  expect_type(value, JsonType::kInteger, "an integer", where);
  return value.integer();
}

Json expect_list(Json value, const std::string& where) {
  expect_type(value, JsonType::kArray, "a list", where);
  return value;
}

Json expect_object(Json value, const std::string& where) {
  expect_type(value, JsonType::kObject, "an object", where);
  return value;
}

std::vector<Json> expect_keys(Json value, std::initializer_list<std::string_view> keys, const std::string& where) {
  expect_object(value, where);
  std::vector<Json> found(keys.size(), value);
  std::vector<bool> seen(keys.size(), false);
  Json key = value.first();
  for (std::uint32_t i = 0; i < value.size(); ++i, key = key.next().next()) {
    const auto match = std::find(keys.begin(), keys.end(), key.text());
    if (match == keys.end()) {
      fail(REACTNET_ERROR_FORMAT, where + ": unknown key " + quote(key.text()), kDamaged);
    }
    const auto which = static_cast<std::size_t>(match - keys.begin());
    found[which] = key.next();
    seen[which] = true;
  }
  for (std::size_t which = 0; which < seen.size(); ++which) {
    if (!seen[which]) {
      fail(REACTNET_ERROR_FORMAT, where + ": key " + quote(keys.begin()[which]) + " is missing", kDamaged);
    }
  }
  return found;
}

std::string json_quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char character : text) {
    if (character == '"' || character == '\\') {
      quoted += '\\';
    }
    quoted += character;
  }
  return quoted + '"';
}

}  // namespace reactnet
