// The compression function of SHA-256 (FIPS 180-4, 6.2.2), for the file's hash. Integers only: each of these gives the
// same digest. No op of a network, hence no kernels.inc; src/sha256.cc takes the best that this processor has.
#ifndef REACTNET_KERNELS_SHA256_SHA256_H_
#define REACTNET_KERNELS_SHA256_SHA256_H_

#include <stdint.h>

namespace reactnet {

// `state`: a to h. `blocks`: count * 64 bytes at any address.
using Sha256Blocks = void (*)(uint32_t* state, const uint8_t* blocks, uint64_t count);

void sha256_scalar(uint32_t* state, const uint8_t* blocks, uint64_t count);
#if defined(__x86_64__)
void sha256_x86_shani(uint32_t* state, const uint8_t* blocks, uint64_t count);  // needs cpu_has_sha256
#elif defined(__aarch64__)
void sha256_arm64_sha2(uint32_t* state, const uint8_t* blocks, uint64_t count);  // needs cpu_has_sha256
#endif

}  // namespace reactnet

#endif  // REACTNET_KERNELS_SHA256_SHA256_H_
