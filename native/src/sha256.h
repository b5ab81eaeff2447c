// SHA-256 (FIPS 180-4), in pieces.
#ifndef REACTNET_SRC_SHA256_H_
#define REACTNET_SRC_SHA256_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "sha256/sha256.h"

namespace reactnet {

Sha256Blocks best_sha256();  // that this processor has

class Sha256 {
 public:
  explicit Sha256(Sha256Blocks blocks = best_sha256()) : blocks_(blocks) {}

  void update(const void* data, std::size_t size);
  // 64 lower-case hex digits; the object is spent.
  std::string hex_digest();

 private:
  static constexpr std::size_t kBlock = 64;

  Sha256Blocks blocks_;
  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::uint8_t, kBlock> pending_ = {};
  std::size_t filled_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace reactnet

#endif  // REACTNET_SRC_SHA256_H_
