// The container of a packed file (docs/format.md, sections 1 and 5): bytes that nobody vouches for become tensors and a
// graph text, or a Fault.
#ifndef REACTNET_SRC_FILE_H_
#define REACTNET_SRC_FILE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace reactnet {

enum class Dtype : std::uint8_t { kU64, kI32, kF32, kF16, kI16, kI8 };

const char* dtype_name(Dtype dtype);
std::size_t dtype_bytes(Dtype dtype);

struct Tensor {
  Dtype dtype = Dtype::kF32;
  std::vector<std::int64_t> shape;
  std::size_t count = 0;       // elements
  const void* data = nullptr;  // aligned for its dtype; lives as long as the file
  bool used = false;           // set by the checker

  template <typename T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
};

struct FileBytes {
  std::unique_ptr<std::uint64_t[]> words;  // so that the data is aligned
  std::size_t size = 0;

  const std::uint8_t* data() const { return reinterpret_cast<const std::uint8_t*>(words.get()); }
};

struct PackedFile {
  FileBytes bytes;
  std::string graph_text;
  std::map<std::string, Tensor, std::less<>> tensors;
  std::vector<std::unique_ptr<std::uint64_t[]>> realigned;  // tensors that lie askew in the file
};

inline constexpr std::size_t kMaxFileBytes = std::size_t{1} << 30;

// A regular file, opened without blocking and read once. Faults: IO, FORMAT (size), MEMORY by bad_alloc.
FileBytes read_file(const char* path);
FileBytes copy_bytes(const void* data, std::size_t size);
FileBytes allocate_bytes(std::size_t size);

// Faults: FORMAT, HASH.
PackedFile open_packed(FileBytes bytes);

}  // namespace reactnet

#endif  // REACTNET_SRC_FILE_H_
