// What the system may be told about memory. Only hints: where they mean nothing, memory stays as it is.
#ifndef REACTNET_SRC_PAGES_H_
#define REACTNET_SRC_PAGES_H_

#include <cstdint>

namespace reactnet {

inline constexpr std::uint64_t kLargePage = std::uint64_t{1} << 21;

// How many large pages a block of so many bytes is worth: none where the system has none, or of which half would be
// wasted.
std::uint64_t large_pages(std::uint64_t bytes);

// The block is about to be written whole. If it is large, the system may give it as large pages: a fault for two
// megabytes, not for four kilobytes.
void expect_writes(void* data, std::uint64_t bytes);

// Gives back the pages that lie in the block whole: their bytes are lost.
void forget_pages(const void* data, std::uint64_t bytes);

}  // namespace reactnet

#endif  // REACTNET_SRC_PAGES_H_
