// Memory that begins at a multiple of 64 bytes, as the kernels want it, or, if there is much, of a large page: what
// brings weights and maps from the outer caches stops at the end of each small one (1 MB of weights, 28 or 12 us).
#ifndef REACTNET_SRC_ALIGNED_H_
#define REACTNET_SRC_ALIGNED_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "fault.h"
#include "pages.h"

namespace reactnet {

inline constexpr std::uint64_t kAlignment = 64;

class AlignedMemory {
 public:
  AlignedMemory() = default;
  explicit AlignedMemory(std::uint64_t bytes) {
    const std::uint64_t large = large_pages(bytes) * kLargePage;
    const std::uint64_t alignment = large > 0 ? kLargePage : kAlignment;
    block_.reset(new std::uint8_t[in_memory(std::max(bytes, large), alignment)]);
    const auto address = reinterpret_cast<std::uintptr_t>(block_.get());
    data_ = block_.get() + (alignment - address % alignment) % alignment;
    expect_writes(data_, large);
  }

  std::uint8_t* data() const { return data_; }

 private:
  // Where addresses have 32 bits, a file can ask for more than there is.
  static std::size_t in_memory(std::uint64_t bytes, std::uint64_t alignment) {
    if (bytes > SIZE_MAX / 2) {
      fail(REACTNET_ERROR_MEMORY, std::to_string(bytes) + " bytes cannot be had", "use a smaller network or image");
    }
    return static_cast<std::size_t>(bytes + alignment - 1);
  }

  std::unique_ptr<std::uint8_t[]> block_;  // not cleared: whoever reads a value has written it
  std::uint8_t* data_ = nullptr;
};

}  // namespace reactnet

#endif  // REACTNET_SRC_ALIGNED_H_
