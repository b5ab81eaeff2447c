// Memory that begins at a multiple of 64 bytes, as the kernels want it.
#ifndef REACTNET_SRC_ALIGNED_H_
#define REACTNET_SRC_ALIGNED_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "fault.h"

namespace reactnet {

inline constexpr std::uint64_t kAlignment = 64;

class AlignedMemory {
 public:
  AlignedMemory() = default;
  explicit AlignedMemory(std::uint64_t bytes) : block_(new std::uint8_t[in_memory(bytes)]) {
    const auto address = reinterpret_cast<std::uintptr_t>(block_.get());
    data_ = block_.get() + (kAlignment - address % kAlignment) % kAlignment;
  }

  std::uint8_t* data() const { return data_; }

 private:
  // Where addresses have 32 bits, a file can ask for more than there is.
  static std::size_t in_memory(std::uint64_t bytes) {
    if (bytes > SIZE_MAX / 2) {
      fail(REACTNET_ERROR_MEMORY, std::to_string(bytes) + " bytes cannot be had", "use a smaller network or image");
    }
    return static_cast<std::size_t>(bytes + kAlignment - 1);
  }

  std::unique_ptr<std::uint8_t[]> block_;  // not cleared: whoever reads a value has written it
  std::uint8_t* data_ = nullptr;
};

}  // namespace reactnet

#endif  // REACTNET_SRC_ALIGNED_H_
