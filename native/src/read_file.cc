// Reading a file that may be anything: a directory, a pipe, a file that shrinks while it is read.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "fault.h"
#include "file.h"

namespace reactnet {
namespace {

class Descriptor {
 public:
  explicit Descriptor(const char* path) : number_(::open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {}
  ~Descriptor() {
    if (number_ >= 0) {
      ::close(number_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

[[noreturn]] void io_fault(const char* what) {
  fail(REACTNET_ERROR_IO, std::string(what) + ": " + std::strerror(errno), "check the path and its permissions");
}

}  // namespace

FileBytes read_file(const char* path) {
  // Without O_NONBLOCK the open of a FIFO would wait for a writer.
  const Descriptor file(path);
  struct stat status;
  if (file.number() < 0 || ::fstat(file.number(), &status) != 0) {
    io_fault("cannot be opened");
  }
  if (!S_ISREG(status.st_mode)) {
    fail(REACTNET_ERROR_IO, "not a regular file", "give a packed file (.rnet)");
  }
  if (status.st_size < 0 || static_cast<std::uint64_t>(status.st_size) > kMaxFileBytes) {
    fail(REACTNET_ERROR_FORMAT, std::to_string(status.st_size) + " bytes, above the limit of 1 GiB",
         "give a packed file (.rnet)");
  }
  FileBytes bytes = allocate_bytes(static_cast<std::size_t>(status.st_size));
  auto* place = reinterpret_cast<char*>(bytes.words.get());
  std::size_t filled = 0;
  while (filled < bytes.size) {
    const ssize_t got = ::read(file.number(), place + filled, bytes.size - filled);
    if (got < 0 && errno != EINTR) {
      io_fault("cannot be read");
    }
    if (got == 0) {
      bytes.size = filled;  // it shrank while it was read; the hash decides
    }
    filled += got > 0 ? static_cast<std::size_t>(got) : 0;
  }
  return bytes;
}

}  // namespace reactnet
