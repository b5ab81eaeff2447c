// What of the C and C++ libraries the module does not take from WASI's: their versions would import a file system, to
// print before they give up. And what starts the module.
#include <cstdlib>
#include <new>

namespace {

void* take(std::size_t bytes) {
  void* room = std::malloc(bytes == 0 ? 1 : bytes);
  if (room == nullptr) {
    __builtin_trap();  // no text can be made now; module.cc's first one says it
  }
  return room;
}

}  // namespace

void* operator new(std::size_t bytes) { return take(bytes); }
void* operator new[](std::size_t bytes) { return take(bytes); }
void operator delete(void* room) noexcept { std::free(room); }
void operator delete[](void* room) noexcept { std::free(room); }
void operator delete(void* room, std::size_t) noexcept { std::free(room); }
void operator delete[](void* room, std::size_t) noexcept { std::free(room); }

extern "C" {

// Named by std::to_string of real numbers, which nobody calls.
int snprintf(char*, size_t, const char*, ...) { __builtin_trap(); }
int fprintf(void*, const char*, ...) { __builtin_trap(); }
void abort() { __builtin_trap(); }

}  // extern "C"

// To be called once, before all else. Named as WASI's reactors name it; without it the linker would run every
// constructor at each call of each function.
extern "C" void __wasm_call_ctors();
extern "C" __attribute__((export_name("_initialize"), visibility("default"))) void wasm_initialize() {
  __wasm_call_ctors();
}
