// JSON from a file nobody vouches for: valid UTF-8, no duplicate keys, whole numbers only, bounded depth.
// A document is a flat list of nodes, 24 bytes each, so memory is linear in the text.
#ifndef REACTNET_SRC_JSON_H_
#define REACTNET_SRC_JSON_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace reactnet {

enum class JsonType : std::uint8_t { kNull, kBool, kInteger, kString, kArray, kObject };

struct JsonNode {
  JsonType type;
  std::uint32_t size;   // elements of an array, members of an object, bytes of a string
  std::uint32_t end;    // index of the node after this one and all it holds
  std::int64_t number;  // the integer, the boolean, or where the string begins in `texts`
};

// Children follow their parent; an object's are key, value, key, value.
struct JsonDocument {
  std::vector<JsonNode> nodes;
  std::string texts;
};

// One value of a document, which must outlive it.
class Json {
 public:
  explicit Json(const JsonDocument& document, std::uint32_t index = 0) : document_(&document), index_(index) {}

  JsonType type() const { return node().type; }
  std::uint32_t size() const { return node().size; }
  std::int64_t integer() const { return node().number; }
  bool boolean() const { return node().number != 0; }
  std::string_view text() const {
    return std::string_view(document_->texts).substr(static_cast<std::size_t>(node().number), node().size);
  }
  Json first() const { return Json(*document_, index_ + 1); }
  Json next() const { return Json(*document_, node().end); }

 private:
  const JsonNode& node() const { return document_->nodes[index_]; }

  const JsonDocument* document_;
  std::uint32_t index_;
};

// Throws Fault (FORMAT) that begins with `where`.
JsonDocument parse_json(std::string_view text, const std::string& where);

// Each returns what the value holds, or throws Fault (FORMAT).
std::string_view expect_text(Json value, const std::string& where);
std::int64_t expect_integer(Json value, const std::string& where);
Json expect_list(Json value, const std::string& where);
Json expect_object(Json value, const std::string& where);
// An object with exactly these keys; their values, in the order asked for.
std::vector<Json> expect_keys(Json value, std::initializer_list<std::string_view> keys, const std::string& where);

// The text as a JSON string, quotes included.
std::string json_quote(std::string_view text);

}  // namespace reactnet

#endif  // REACTNET_SRC_JSON_H_
