#include "image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "mistake.h"

namespace {

constexpr std::uint32_t kMaxSide = 65536;
constexpr std::uint64_t kMaxPixels = 1u << 26;  // the limits of `reactnet predict`
constexpr std::uint64_t kMaxBytes = 1u << 30;
constexpr const char* kConvert = "write it as binary PPM: convert IMAGE -depth 8 IMAGE.ppm";

[[noreturn]] void fail(const std::string& path, const std::string& problem, const std::string& hint) {
  throw Mistake{path + ": " + problem, hint};
}

struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) {
      ::close(number);
    }
  }
};

// The whole file. Without O_NONBLOCK the open of a FIFO would wait for a writer.
std::vector<std::uint8_t> read_file(const std::string& path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
  struct stat status = {};
  if (file.number < 0 || ::fstat(file.number, &status) != 0) {
    fail(path, std::strerror(errno), "give an image file that exists and that you may read");
  }
  if (!S_ISREG(status.st_mode)) {
    fail(path, "not a regular file", "give an image file");
  }
  if (static_cast<std::uint64_t>(status.st_size) > kMaxBytes) {
    fail(path, std::to_string(status.st_size) + " bytes, more than " + std::to_string(kMaxBytes), "give a smaller image");
  }
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(status.st_size));
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::read(file.number, bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno != EINTR) {
      fail(path, std::strerror(errno), "see that the disk works");
    }
    if (got == 0) {
      fail(path, "it shrank while it was read", "try again when it is complete");
    }
    filled += got > 0 ? static_cast<std::size_t>(got) : 0;
  }
  return bytes;
}

bool is_blank(std::uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// The header of a PNM file: numbers between blanks and comments.
class Header {
 public:
  Header(const std::string& path, const std::vector<std::uint8_t>& bytes) : path_(path), bytes_(bytes) {}

  std::uint32_t number(const char* what, std::uint32_t most) {
    while (at_ < bytes_.size() && (is_blank(bytes_[at_]) || bytes_[at_] == '#')) {
      if (bytes_[at_] == '#') {
        while (at_ < bytes_.size() && bytes_[at_] != '\n' && bytes_[at_] != '\r') ++at_;
      } else {
        ++at_;
      }
    }
    std::uint32_t value = 0;
    const std::size_t begin = at_;
    for (; at_ < bytes_.size() && bytes_[at_] >= '0' && bytes_[at_] <= '9'; ++at_) {
      value = value * 10 + (bytes_[at_] - '0');
      if (value > most) {
        fail(path_, std::string("its ") + what + " is more than " + std::to_string(most), "give a smaller image");
      }
    }
    if (begin == at_ || value == 0) {
      fail(path_, std::string("no ") + what + " of 1 or more in its PNM header", "replace the file");
    }
    return value;
  }

  // Where the pixels begin: after exactly one blank.
  std::size_t end() const {
    if (at_ >= bytes_.size() || !is_blank(bytes_[at_])) {
      fail(path_, "its PNM header does not end", "replace the file");
    }
    return at_ + 1;
  }

 private:
  const std::string& path_;
  const std::vector<std::uint8_t>& bytes_;
  std::size_t at_ = 2;  // after P6
};

std::vector<std::uint8_t> to_channels(std::vector<std::uint8_t> pixels, std::uint32_t from, std::uint32_t to) {
  if (from == to) {
    return pixels;
  }
  const std::size_t count = pixels.size() / from;
  std::vector<std::uint8_t> out(count * to);
  for (std::size_t i = 0; i < count; ++i) {
    if (from == 1) {
      std::memset(&out[3 * i], pixels[i], 3);
    } else {
      const std::uint8_t* p = &pixels[3 * i];
      out[i] = static_cast<std::uint8_t>((19595u * p[0] + 38470u * p[1] + 7471u * p[2] + 0x8000u) >> 16);
    }
  }
  return out;
}

void check_size(const std::string& path, std::uint32_t height, std::uint32_t width) {
  if (std::uint64_t{height} * width > kMaxPixels) {
    fail(path, std::to_string(width) + "x" + std::to_string(height) + " pixels is too large",
         "give an image of at most " + std::to_string(kMaxPixels) + " pixels");
  }
}

}  // namespace

Image read_pnm(const std::string& path, std::uint32_t channels) {
  std::vector<std::uint8_t> bytes = read_file(path);
  if (bytes.size() < 2 || bytes[0] != 'P' || (bytes[1] != '5' && bytes[1] != '6')) {
    fail(path, "neither a binary PPM (P6) nor a binary PGM (P5) file",
         std::string(kConvert) + ", or give --size HxW if it is raw pixels");
  }
  if (channels != 1 && channels != 3) {
    fail(path, "the model takes " + std::to_string(channels) + " channels, a PNM file has 1 or 3",
         "give raw pixels, with --size HxW");
  }
  const std::uint32_t own = bytes[1] == '5' ? 1 : 3;
  Image image;
  Header header(path, bytes);
  image.width = header.number("width", kMaxSide);
  image.height = header.number("height", kMaxSide);
  const std::uint32_t maxval = header.number("maxval", 65535);
  if (maxval != 255) {
    fail(path, "its maxval is " + std::to_string(maxval) + ", not 255", kConvert);
  }
  check_size(path, image.height, image.width);
  const std::size_t begin = header.end();
  const std::uint64_t wanted = std::uint64_t{image.height} * image.width * own;
  if (bytes.size() - begin != wanted) {
    fail(path, std::to_string(bytes.size() - begin) + " bytes of pixels, its header promises " + std::to_string(wanted),
         "replace the file");
  }
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(begin));
  image.pixels = to_channels(std::move(bytes), own, channels);
  return image;
}

Image read_raw(const std::string& path, std::uint32_t height, std::uint32_t width, std::uint32_t channels) {
  check_size(path, height, width);
  Image image{height, width, read_file(path)};
  const std::uint64_t wanted = std::uint64_t{height} * width * channels;
  if (image.pixels.size() != wanted) {
    fail(path,
         std::to_string(image.pixels.size()) + " bytes, " + std::to_string(height) + "x" + std::to_string(width) + "x" +
             std::to_string(channels) + " pixels are " + std::to_string(wanted),
         "give --size HEIGHTxWIDTH of the raw pixels");
  }
  return image;
}
