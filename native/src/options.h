// How many threads, and up to which instruction set: from the caller, else from the environment, else the default.
#ifndef REACTNET_SRC_OPTIONS_H_
#define REACTNET_SRC_OPTIONS_H_

#include "isa.h"
#include "reactnet.h"

namespace reactnet {

struct Settings {
  unsigned threads;
  Isa isa;  // ceiling
};

// `options` may be null. Faults: ARGUMENT (a value that means nothing), UNSUPPORTED (an ISA that this machine lacks).
Settings read_settings(const reactnet_options* options);

}  // namespace reactnet

#endif  // REACTNET_SRC_OPTIONS_H_
