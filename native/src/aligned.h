// Memory that begins at a multiple of 64 bytes, as the kernels want it.
#ifndef REACTNET_SRC_ALIGNED_H_
#define REACTNET_SRC_ALIGNED_H_

#include <cstddef>
#include <cstdint>
#include <memory>

namespace reactnet {

inline constexpr std::uint64_t kAlignment = 64;

class AlignedMemory {
 public:
  AlignedMemory() = default;
  explicit AlignedMemory(std::uint64_t bytes) : block_(new std::uint8_t[bytes + kAlignment - 1]) {
    const auto address = reinterpret_cast<std::uintptr_t>(block_.get());
    data_ = block_.get() + (kAlignment - address % kAlignment) % kAlignment;
  }

  std::uint8_t* data() const { return data_; }

 private:
  std::unique_ptr<std::uint8_t[]> block_;  // not cleared: whoever reads a value has written it
  std::uint8_t* data_ = nullptr;
};

}  // namespace reactnet

#endif  // REACTNET_SRC_ALIGNED_H_
