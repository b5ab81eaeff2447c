// What this build and this machine can do, as JSON.
#ifndef REACTNET_SRC_SYSTEM_H_
#define REACTNET_SRC_SYSTEM_H_

namespace reactnet {

// Made at the first call, lives for ever; an empty object if there is no memory for it.
const char* system_json() noexcept;

}  // namespace reactnet

#endif  // REACTNET_SRC_SYSTEM_H_
