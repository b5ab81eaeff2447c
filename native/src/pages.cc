#include "pages.h"

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace reactnet {
namespace {

#if defined(__linux__)
// Of the pages that lie in the block whole. Should it fail, nobody is worse off than without it.
void advise(const void* data, std::uint64_t bytes, int advice) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t first = (begin + page - 1) / page * page;
  const std::uintptr_t last = (begin + bytes) / page * page;
  if (first < last) {
    ::madvise(reinterpret_cast<void*>(first), last - first, advice);
  }
}
#endif

}  // namespace

std::uint64_t large_pages([[maybe_unused]] std::uint64_t bytes) {
#if defined(__linux__)
  return bytes / kLargePage + (bytes % kLargePage > kLargePage / 2 ? 1 : 0);
#else
  return 0;
#endif
}

void expect_writes([[maybe_unused]] void* data, [[maybe_unused]] std::uint64_t bytes) {
#if defined(__linux__)
  if (bytes >= kLargePage) {
    advise(data, bytes, MADV_HUGEPAGE);
  }
#endif
}

void forget_pages([[maybe_unused]] const void* data, [[maybe_unused]] std::uint64_t bytes) {
#if defined(__linux__)
  advise(data, bytes, MADV_DONTNEED);
#endif
}

}  // namespace reactnet
