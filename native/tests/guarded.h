// Arrays that end, or begin, at a page which nobody may touch: a kernel that reads or writes outside them crashes.
#ifndef REACTNET_TESTS_GUARDED_H_
#define REACTNET_TESTS_GUARDED_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

enum class Guard { kAfter, kBefore };

template <class T>
class Guarded {
 public:
  // Behind the array there is at most `alignment` - 1 bytes before the page; they hold a mark that the destructor
  // checks.
  Guarded(std::size_t count, Guard guard, std::size_t alignment = alignof(T)) : count_(count) {
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t bytes = count * sizeof(T);
    const std::size_t room = (bytes + page - 1) / page * page + page;
    mapped_ = room + 2 * page;
    base_ = static_cast<unsigned char*>(mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || mprotect(base_ + page, room, PROT_READ | PROT_WRITE) != 0) {
      std::perror("guarded array");
      std::exit(2);
    }
    std::memset(base_ + page, kMark, room);
    end_ = base_ + page + room;
    const std::size_t offset = guard == Guard::kBefore ? 0 : (room - bytes) / alignment * alignment;
    data_ = reinterpret_cast<T*>(base_ + page + offset);
  }
  ~Guarded() {
    for (const unsigned char* p = reinterpret_cast<unsigned char*>(data_ + count_); p < end_; ++p) {
      if (*p != kMark) {
        std::fprintf(stderr, "a write %td bytes behind an array\n",
                     p - reinterpret_cast<unsigned char*>(data_ + count_));
        std::abort();
      }
    }
    munmap(base_, mapped_);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  void copy(const Guarded& other) { std::memcpy(data_, other.data_, count_ * sizeof(T)); }
  bool same(const Guarded& other) const { return std::memcmp(data_, other.data_, count_ * sizeof(T)) == 0; }

 private:
  static constexpr unsigned char kMark = 0xA5;
  std::size_t count_;
  std::size_t mapped_ = 0;
  unsigned char* base_ = nullptr;
  unsigned char* end_ = nullptr;
  T* data_ = nullptr;
};

#endif  // REACTNET_TESTS_GUARDED_H_
