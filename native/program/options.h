// The command line of reactnet-run.
#ifndef REACTNET_PROGRAM_OPTIONS_H_
#define REACTNET_PROGRAM_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

struct Options {
  std::string model;
  std::vector<std::string> images;
  std::uint32_t raw_height = 0;  // 0: images are PNM files
  std::uint32_t raw_width = 0;
  std::uint32_t threads = 0;  // 0: REACTNET_THREADS, else 1
  std::uint32_t top = 5;
  bool json = false;
  bool bench = false;
  bool system = false;
  bool help = false;
  bool version = false;
};

extern const char* const kHelp;

// Throws Mistake.
Options parse_options(int count, char** words);

#endif  // REACTNET_PROGRAM_OPTIONS_H_
