#include "file.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "fault.h"
#include "json.h"
#include "names.h"
#include "pages.h"
#include "sha256.h"

namespace reactnet {
namespace {

constexpr std::size_t kMaxHeader = std::size_t{1} << 24;
constexpr std::uint32_t kMaxTensors = 65536;
constexpr std::int64_t kMaxDimension = 0x7FFFFFFF;
constexpr std::size_t kDigits = 64;

struct DtypeRow {
  const char* name;
  std::size_t bytes;
};
constexpr DtypeRow kDtypes[] = {{"U64", 8}, {"I32", 4}, {"F32", 4}, {"F16", 2}, {"I16", 2}, {"I8", 1}};

[[noreturn]] void fault(const std::string& problem) { fail(REACTNET_ERROR_FORMAT, problem, kDamaged); }

struct Span {
  std::int64_t begin;
  std::int64_t end;
  std::string_view name;
};

Dtype read_dtype(Json value, const std::string& where) {
  const std::string_view name = expect_text(value, where + ": dtype");
  for (std::size_t i = 0; i < std::size(kDtypes); ++i) {
    if (name == kDtypes[i].name) {
      return static_cast<Dtype>(i);
    }
  }
  fault(where + ": dtype " + quote(name) + " is not one of U64 I32 F32 F16 I16 I8");
}

// Fills in dtype, shape and count; returns the bytes that they need, at most 1 GiB.
std::int64_t read_shape(Json value, const std::string& where, Tensor& tensor) {
  Json side = expect_list(value, where + ": shape").first();
  auto bytes = static_cast<std::int64_t>(dtype_bytes(tensor.dtype));
  bool fits = value.size() >= 1 && value.size() <= 4;
  for (std::uint32_t i = 0; i < value.size() && fits; ++i, side = side.next()) {
    const std::int64_t length = expect_integer(side, where + ": shape");
    fits = length >= 1 && length <= kMaxDimension;
    if (fits) {
      bytes *= length;  // below 2^61: bytes is at most 2^30 here
      fits = bytes <= static_cast<std::int64_t>(kMaxFileBytes);
      tensor.shape.push_back(length);
    }
  }
  if (!fits) {
    fault(where + ": the shape is out of limits (rank 1 to 4, at most 1 GiB)");
  }
  tensor.count = static_cast<std::size_t>(bytes) / dtype_bytes(tensor.dtype);
  return bytes;
}

Span read_tensor(std::string_view name, Json value, std::int64_t data_bytes, Tensor& tensor) {
  const std::string where = "header: tensor " + quote(name);
  if (!is_name(name)) {
    fault("header: tensor name " + quote(name) + " is not allowed");
  }
  const std::vector<Json> entry = expect_keys(value, {"data_offsets", "dtype", "shape"}, where);
  tensor.dtype = read_dtype(entry[1], where);
  const std::int64_t bytes = read_shape(entry[2], where, tensor);
  const Json offsets = expect_list(entry[0], where + ": data_offsets");
  if (offsets.size() != 2) {
    fault(where + ": " + std::to_string(offsets.size()) + " data_offsets, not 2");
  }
  const std::int64_t begin = expect_integer(offsets.first(), where + ": data_offsets");
  const std::int64_t end = expect_integer(offsets.first().next(), where + ": data_offsets");
  if (begin < 0 || begin > end || end > data_bytes || end - begin != bytes) {
    fault(where + ": bytes " + std::to_string(begin) + " to " + std::to_string(end) + " of " +
          std::to_string(data_bytes) + " do not hold its " + std::to_string(bytes) + " bytes");
  }
  return {begin, end, name};
}

// The tensors, sorted by offset, must cover the data exactly.
void check_cover(std::vector<Span>& spans, std::int64_t data_bytes) {
  std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
  std::int64_t covered = 0;
  for (const Span& span : spans) {
    if (span.begin != covered) {
      fault("header: tensor " + quote(span.name) + " begins at byte " + std::to_string(span.begin) + ", not at " +
            std::to_string(covered) + ": an overlap or a hole");
    }
    covered = span.end;
  }
  if (covered != data_bytes) {
    fault(std::to_string(data_bytes - covered) + " bytes follow the last tensor");
  }
}

void check_hash(const FileBytes& bytes, std::string_view header, std::string_view digits) {
  const bool hex = digits.size() == kDigits && digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (!hex) {
    fault("header: sha256 " + quote(digits) + " is not 64 lower-case hex digits");
  }
  const std::size_t place = header.find(digits);
  if (place == std::string_view::npos || header.find(digits, place + kDigits) != std::string_view::npos) {
    fault("header: the sha256 digits must stand in the header once, as plain characters");
  }
  const std::size_t begin = 8 + place;
  Sha256 hash;
  hash.update(bytes.data(), begin);
  hash.update(std::string(kDigits, '0').data(), kDigits);
  hash.update(bytes.data() + begin + kDigits, bytes.size - begin - kDigits);
  const std::string found = hash.hex_digest();
  if (found != digits) {
    fail(REACTNET_ERROR_HASH,
         "the bytes are not those that were written: sha256 is " + found.substr(0, 12) + "..., the file says " +
             std::string(digits.substr(0, 12)) + "...",
         "the file is damaged; copy or compile it again");
  }
}

// Points each tensor at its bytes; one that is not aligned for its dtype gets a copy that is.
void place_tensors(PackedFile& file, const std::vector<Span>& spans, std::size_t base) {
  for (const Span& span : spans) {
    Tensor& tensor = file.tensors[std::string(span.name)];
    const std::size_t offset = base + static_cast<std::size_t>(span.begin);
    const auto size = static_cast<std::size_t>(span.end - span.begin);
    tensor.data = file.bytes.data() + offset;
    if (offset % dtype_bytes(tensor.dtype) != 0) {
      auto copy = std::make_unique<std::uint64_t[]>((size + 7) / 8);
      std::memcpy(copy.get(), tensor.data, size);
      tensor.data = copy.get();
      file.realigned.push_back(std::move(copy));
    }
  }
}

std::string_view header_text(const FileBytes& bytes) {
  if (bytes.size <= 8 || bytes.size > kMaxFileBytes) {
    fault(std::to_string(bytes.size) + " bytes are no packed file");
  }
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) {
    length = length << 8 | bytes.data()[i];
  }
  if (length > kMaxHeader || length > bytes.size - 8 || length % 8 != 0) {
    fault("a header of " + std::to_string(length) + " bytes in a file of " + std::to_string(bytes.size));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, static_cast<std::size_t>(length));
  const std::size_t last = text.find_last_not_of(' ');
  if (last == std::string_view::npos || text.front() != '{' || text[last] != '}') {
    fault("header: not one JSON object padded with spaces");
  }
  return text;
}

}  // namespace

const char* dtype_name(Dtype dtype) { return kDtypes[static_cast<std::size_t>(dtype)].name; }

std::size_t dtype_bytes(Dtype dtype) { return kDtypes[static_cast<std::size_t>(dtype)].bytes; }

PackedFile open_packed(FileBytes bytes) {
  PackedFile file;
  file.bytes = std::move(bytes);
  const std::string_view text = header_text(file.bytes);
  const auto data_bytes = static_cast<std::int64_t>(file.bytes.size - 8 - text.size());
  const JsonDocument document = parse_json(text, "header");
  const Json header = expect_object(Json(document), "header");
  std::vector<Json> metadata;
  std::vector<Span> spans;
  Json key = header.first();
  for (std::uint32_t i = 0; i < header.size(); ++i, key = key.next().next()) {
    if (key.text() == "__metadata__") {
      metadata = expect_keys(key.next(), {"reactnet", "sha256"}, "header: __metadata__");
    }
  }
  if (metadata.empty()) {
    fault("header: key '__metadata__' is missing");
  }
  if (header.size() - 1 > kMaxTensors) {
    fault("header: " + std::to_string(header.size() - 1) + " tensors, above the limit of 65536");
  }
  file.graph_text = expect_text(metadata[0], "header: reactnet");
  const std::string_view digits = expect_text(metadata[1], "header: sha256");
  key = header.first();
  for (std::uint32_t i = 0; i < header.size(); ++i, key = key.next().next()) {
    if (key.text() != "__metadata__") {
      Tensor& tensor = file.tensors[std::string(key.text())];
      spans.push_back(read_tensor(key.text(), key.next(), data_bytes, tensor));
    }
  }
  check_cover(spans, data_bytes);
  check_hash(file.bytes, text, digits);
  place_tensors(file, spans, 8 + text.size());
  return file;
}

FileBytes allocate_bytes(std::size_t size) {
  FileBytes bytes;
  bytes.words.reset(new std::uint64_t[size / 8 + 1]);
  expect_writes(bytes.words.get(), size);
  bytes.size = size;
  return bytes;
}

FileBytes copy_bytes(const void* data, std::size_t size) {
  if (size > kMaxFileBytes) {
    fail(REACTNET_ERROR_FORMAT, std::to_string(size) + " bytes, above the limit of 1 GiB",
         "give a packed file (.rnet)");
  }
  FileBytes bytes = allocate_bytes(size);
  if (size > 0) {
    std::memcpy(bytes.words.get(), data, size);
  }
  return bytes;
}

}  // namespace reactnet
