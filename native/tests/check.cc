// Every kernel of every kernels.inc against scalar.cc, bit for bit, between guard pages. No framework: it also runs
// under qemu. The last line is `N passed, 0 failed, M skipped`; the exit status is 1 if something failed.
#include "check.h"

#include "kernel_list.h"

int main() {
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
  check_bconv2d(tally);
  check_convolutions(tally);
  check_linear(tally);
  check_maps(tally);
  check_peak(tally);
  check_sha256(tally);
  std::printf("%d passed, %d failed, %d skipped\n", tally.passed, tally.failed, tally.skipped);
  return tally.failed == 0 ? 0 : 1;
}
