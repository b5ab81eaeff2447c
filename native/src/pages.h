// What the system may be told about memory. Only hints: where they mean nothing, memory stays as it is.
#ifndef REACTNET_SRC_PAGES_H_
#define REACTNET_SRC_PAGES_H_

#include <cstdint>

namespace reactnet {

// The block is about to be written whole. If it is large, the system may give it as large pages: a fault for two
// megabytes, not for four kilobytes.
void expect_writes(void* data, std::uint64_t bytes);

// Gives back the pages that lie in the block whole: their bytes are lost.
void forget_pages(const void* data, std::uint64_t bytes);

}  // namespace reactnet

#endif  // REACTNET_SRC_PAGES_H_
