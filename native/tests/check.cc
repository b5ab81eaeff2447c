// Every kernel of every kernels.inc against scalar.cc, bit for bit, between guard pages. No framework: it also runs
// under qemu. The last line is `N passed, 0 failed, M skipped`; the exit status is 1 if something failed.
//   check [PART...]    only these parts: bconv2d convolutions linear maps peak sha256
#include "check.h"

#include <cstring>

#include "kernel_list.h"

namespace {

struct Part {
  const char* name;
  void (*run)(Tally&);
};

constexpr Part kParts[] = {{"bconv2d", check_bconv2d}, {"convolutions", check_convolutions}, {"linear", check_linear},
                           {"maps", check_maps},       {"peak", check_peak},                 {"sha256", check_sha256}};

// Runs the named parts, all of them without names; false if a name is none of a part.
bool run_parts(int count, char** names, Tally& tally) {
  for (const Part& part : kParts) {
    if (count == 0) part.run(tally);
  }
  for (int i = 0; i < count; ++i) {
    const Part* found = nullptr;
    for (const Part& part : kParts) {
      if (std::strcmp(part.name, names[i]) == 0) found = &part;
    }
    if (found == nullptr) {
      std::printf("no part is called %s\n", names[i]);
      return false;
    }
    found->run(tally);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Tally tally;
  reactnet::KernelInfo kernels[256];
  const std::size_t count = reactnet::all_kernels(kernels, 256);
  for (std::size_t i = 0; i < count; ++i) {
    if (!reactnet::isa_available(kernels[i].isa)) {
      tally.skip(std::string(kernels[i].name) + ": this processor lacks " + reactnet::isa_name(kernels[i].isa));
    }
  }
#if !defined(REACTNET_TEST_SIMDE) && defined(__x86_64__)
  tally.skip("AVX-512 kernels by emulation: built without SIMDe (apt-get install libsimde-dev, then build again)");
#endif
  if (!run_parts(argc - 1, argv + 1, tally)) return 2;
  std::printf("%d passed, %d failed, %d skipped\n", tally.passed, tally.failed, tally.skipped);
  return tally.failed == 0 ? 0 : 1;
}
