#include "sha256.h"

#include <algorithm>
#include <cstring>

#include "isa.h"

namespace reactnet {

Sha256Blocks best_sha256() {
#if defined(__x86_64__)
  return cpu_has_sha256() ? sha256_x86_shani : sha256_scalar;
#elif defined(__aarch64__)
  return cpu_has_sha256() ? sha256_arm64_sha2 : sha256_scalar;
#else
  return sha256_scalar;
#endif
}

void Sha256::update(const void* data, std::size_t size) {
  const auto* bytes = static_cast<const std::uint8_t*>(data);
  total_ += size;
  if (filled_ > 0) {
    const std::size_t part = std::min(size, kBlock - filled_);
    std::memcpy(pending_.data() + filled_, bytes, part);
    filled_ += part;
    bytes += part;
    size -= part;
    if (filled_ < kBlock) {
      return;
    }
    blocks_(state_.data(), pending_.data(), 1);
  }
  blocks_(state_.data(), bytes, size / kBlock);
  filled_ = size % kBlock;
  if (filled_ > 0) {
    std::memcpy(pending_.data(), bytes + size - filled_, filled_);
  }
}

std::string Sha256::hex_digest() {
  const std::uint64_t bits = total_ * 8;
  const std::uint8_t padding[kBlock] = {0x80};
  update(padding, (filled_ < 56 ? 56 : 120) - filled_);
  std::uint8_t length[8];
  for (int i = 0; i < 8; ++i) {
    length[i] = static_cast<std::uint8_t>(bits >> (56 - 8 * i));
  }
  update(length, 8);
  std::string digest;
  for (const std::uint32_t word : state_) {
    for (int shift = 28; shift >= 0; shift -= 4) {
      digest += "0123456789abcdef"[(word >> shift) & 15];
    }
  }
  return digest;
}

}  // namespace reactnet
