// What the fuzz targets share: giving a mutated file its right hash, so that what lies behind the hash is tried too.
#ifndef REACTNET_FUZZ_PACKED_H_
#define REACTNET_FUZZ_PACKED_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sha256.h"

namespace reactnet {

// The bytes with the first "sha256":"..." of 64 characters made right; as they are where there is none.
inline std::vector<std::uint8_t> with_right_hash(const std::uint8_t* data, std::size_t size) {
  static const std::string kMark = "\"sha256\":\"";
  std::vector<std::uint8_t> bytes(data, data + size);
  const auto found = std::search(bytes.begin(), bytes.end(), kMark.begin(), kMark.end());
  if (bytes.end() - found < static_cast<std::ptrdiff_t>(kMark.size() + 64)) {
    return bytes;
  }
  const auto digits = found + static_cast<std::ptrdiff_t>(kMark.size());
  std::fill(digits, digits + 64, std::uint8_t{'0'});
  Sha256 hash;
  hash.update(bytes.data(), bytes.size());
  const std::string right = hash.hex_digest();
  std::copy(right.begin(), right.end(), digits);
  return bytes;
}

}  // namespace reactnet

#endif  // REACTNET_FUZZ_PACKED_H_
