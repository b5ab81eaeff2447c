// What the programs of threads.cc and memory.cc share: packed files given on the command line, and images for them.
#ifndef REACTNET_TESTS_PACKED_FILES_H_
#define REACTNET_TESTS_PACKED_FILES_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "reactnet.h"

namespace packed_files {

[[noreturn]] inline void stop(const std::string& what) {
  std::fprintf(stderr, "FAILED %s\n", what.c_str());
  std::exit(1);
}

inline void need(bool good, const std::string& what) {
  if (!good) {
    stop(what);
  }
}

inline std::vector<char> read(const char* path) {
  std::ifstream stream(path, std::ios::binary);
  need(stream.good(), std::string(path) + " cannot be read");
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline reactnet_info info_of(const reactnet_model* model) {
  reactnet_info info = {};
  info.size = sizeof info;
  need(reactnet_model_info(model, &info, nullptr) == REACTNET_OK, "reactnet_model_info");
  return info;
}

// Pixels without a pattern, the same in every run.
inline std::vector<std::uint8_t> images_for(const reactnet_info& info, std::size_t count) {
  std::vector<std::uint8_t> images(count * info.height * info.width * info.channels);
  std::uint32_t state = 1;
  for (std::uint8_t& pixel : images) {
    state = state * 1664525u + 1013904223u;
    pixel = static_cast<std::uint8_t>(state >> 24);
  }
  return images;
}

}  // namespace packed_files

#endif  // REACTNET_TESTS_PACKED_FILES_H_
