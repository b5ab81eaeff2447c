// The conformance suite's hands on a machine that Python does not run on: answers of packed files, by the C API alone.
//   conform             prints what reactnet_system says
//   conform ISA < jobs  a line a job: file, raw images, their number, names of nodes, separated by tabs.
//                       Prints the logits of all images, then each node's value for the first image, in hex, by tabs.
// A fault ends the program with its message and status 1.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "reactnet.h"

namespace {

reactnet_error fault = {sizeof(reactnet_error), 0, {}, {}};

void must(reactnet_status status) {
  if (status != REACTNET_OK) {
    std::fprintf(stderr, "%s (%s)\n", fault.message, fault.hint);
    std::exit(1);
  }
}

std::vector<std::uint8_t> bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void print_hex(const void* data, std::size_t size) {
  const std::uint8_t* bytes = static_cast<const std::uint8_t*>(data);
  for (std::size_t i = 0; i < size; ++i) std::printf("%02x", static_cast<unsigned>(bytes[i]));
}

void print_logits(const reactnet_model* model, const std::vector<std::uint8_t>& images, std::size_t count) {
  reactnet_info info = {};
  info.size = sizeof(info);
  must(reactnet_model_info(model, &info, &fault));
  reactnet_context* context = nullptr;
  must(reactnet_context_create(model, 0, &context, &fault));
  std::vector<float> logits(count * info.classes);
  must(reactnet_run_u8(context, images.data(), count, logits.data(), &fault));
  print_hex(logits.data(), logits.size() * sizeof(float));
  reactnet_context_free(context);
}

void print_values(const reactnet_model* model, const std::vector<std::uint8_t>& images,
                  const std::vector<std::string>& nodes) {
  reactnet_info info = {};
  info.size = sizeof(info);
  must(reactnet_model_info(model, &info, &fault));
  reactnet_context* context = nullptr;
  must(reactnet_context_create(model, REACTNET_KEEP_VALUES, &context, &fault));
  std::vector<float> logits(info.classes);
  must(reactnet_run_u8(context, images.data(), 1, logits.data(), &fault));
  for (const std::string& node : nodes) {
    std::size_t size = 0;
    must(reactnet_context_value(context, node.c_str(), nullptr, &size, &fault));
    std::vector<std::uint8_t> value(size);
    must(reactnet_context_value(context, node.c_str(), value.data(), &size, &fault));
    std::printf("\t");
    print_hex(value.data(), size);
  }
  reactnet_context_free(context);
}

void answer(const std::string& job, const char* isa) {
  std::istringstream parts(job);
  std::string path, images_path, count;
  std::getline(parts, path, '\t');
  std::getline(parts, images_path, '\t');
  std::getline(parts, count, '\t');
  std::vector<std::string> nodes;
  for (std::string node; std::getline(parts, node, '\t');) nodes.push_back(node);
  reactnet_options options = {};
  options.size = sizeof(options);
  options.threads = 2;
  options.isa = isa;
  reactnet_model* model = nullptr;
  must(reactnet_model_open(path.c_str(), &options, &model, &fault));
  const std::vector<std::uint8_t> images = bytes_of(images_path);
  print_logits(model, images, static_cast<std::size_t>(std::atoi(count.c_str())));
  print_values(model, images, nodes);
  std::printf("\n");
  reactnet_model_free(model);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::printf("%s\n", reactnet_system());
    return 0;
  }
  for (std::string job; std::getline(std::cin, job);) answer(job, argv[1]);
  return 0;
}
