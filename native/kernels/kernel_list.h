// The kernels of one op, best first, as its kernels.inc lists them.
#ifndef REACTNET_KERNELS_KERNEL_LIST_H_
#define REACTNET_KERNELS_KERNEL_LIST_H_

#include <stddef.h>

#include "isa.h"

namespace reactnet {

// K has `name` and `isa`. Every list ends with a kernel that any machine of the build can run,
// and holds one for any shape of the format: scalar ones, or in WebAssembly those of simd128.
template <class K>
struct KernelList {
  const K* const* items;
  size_t count;

  const K* const* begin() const { return items; }
  const K* const* end() const { return items + count; }
};

// One kernel of any op, for `reactnet doctor`.
struct KernelInfo {
  const char* op;  // the folder's name
  const char* name;
  Isa isa;
};

// Writes the kernels of this build to `out`, by op, best first, up to `room` of them; returns how many there are.
size_t all_kernels(KernelInfo* out, size_t room);

}  // namespace reactnet

#endif  // REACTNET_KERNELS_KERNEL_LIST_H_
