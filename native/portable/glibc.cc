// Symbols of glibc by their oldest version, so that a library linked on a new system loads on an old one. The linker's --wrap (portable.cmake)
// sends every call here, those of the static C++ library too. What the functions do has not changed between the versions.
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#if defined(__x86_64__)
#define OLDEST "GLIBC_2.2.5"
constexpr int kStatVersion = 1;
#elif defined(__aarch64__)
#define OLDEST "GLIBC_2.17"
constexpr int kStatVersion = 0;
#else
#error "another architecture: look up its first version of glibc, and _STAT_VER in its headers"
#endif

#define VERSIONED(name, symbol) __asm__(".symver " #name "," #symbol "@" OLDEST)

extern "C" {

int old_fstat(int version, int file, struct stat* status);
int old_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*), void* argument);
int old_join(pthread_t thread, void** result);
int old_once(pthread_once_t* once, void (*routine)());
int old_mask(int how, const sigset_t* set, sigset_t* before);
int old_key(pthread_key_t* key, void (*destructor)(void*));
VERSIONED(old_fstat, __fxstat);  // fstat itself was inline until 2.33
VERSIONED(old_create, pthread_create);
VERSIONED(old_join, pthread_join);
VERSIONED(old_once, pthread_once);
VERSIONED(old_mask, pthread_sigmask);
VERSIONED(old_key, __pthread_key_create);

// libstdc++ asks whether there is one thread only, to count references without locks: a variable of glibc 2.32. 0: there may be more.
char __libc_single_threaded = 0;

int __wrap_fstat(int file, struct stat* status) { return old_fstat(kStatVersion, file, status); }
int __wrap_pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
  return old_create(thread, attributes, start, argument);
}
int __wrap_pthread_join(pthread_t thread, void** result) { return old_join(thread, result); }
int __wrap_pthread_once(pthread_once_t* once, void (*routine)()) { return old_once(once, routine); }
int __wrap_pthread_sigmask(int how, const sigset_t* set, sigset_t* before) { return old_mask(how, set, before); }
int __wrap___pthread_key_create(pthread_key_t* key, void (*destructor)(void*)) { return old_key(key, destructor); }

}  // extern "C"
