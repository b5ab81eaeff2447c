// Pixels from a file that may be anything: binary PNM, or raw bytes of a size that the user names.
#ifndef REACTNET_PROGRAM_IMAGE_H_
#define REACTNET_PROGRAM_IMAGE_H_

#include <cstdint>
#include <string>
#include <vector>

// uint8 pixels, height x width x channels, rows packed.
struct Image {
  std::uint32_t height = 0;
  std::uint32_t width = 0;
  std::vector<std::uint8_t> pixels;
};

// A binary PPM (P6) or PGM (P5) file of maxval 255 as `channels` 1 or 3: colour becomes grey by ITU-R 601 as Pillow has it, grey
// becomes three equal channels. Throws Mistake.
Image read_pnm(const std::string& path, std::uint32_t channels);

// A file of exactly height * width * channels bytes. Throws Mistake.
Image read_raw(const std::string& path, std::uint32_t height, std::uint32_t width, std::uint32_t channels);

#endif  // REACTNET_PROGRAM_IMAGE_H_
