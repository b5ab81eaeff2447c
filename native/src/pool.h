// The threads of one model. They are made at the first run that wants them, serve one run at a time, and are made anew
// in a process that was forked. How many there are changes no bit of a result: a step's rows do not depend on each
// other.
#ifndef REACTNET_SRC_POOL_H_
#define REACTNET_SRC_POOL_H_

#include <atomic>
#include <cstdint>
#include <memory>

#if !defined(__wasm__)
#include <condition_variable>
#include <mutex>
#endif

namespace reactnet {

inline constexpr unsigned kMaxThreads = 1024;

// Held by at most one run at a time. A claim that a fork copied from the parent counts as free in the child.
class Claim {
 public:
  bool try_take();
  void release() { owner_.store(0, std::memory_order_release); }

 private:
  std::atomic<long> owner_{0};  // process id of the holder
};

// Where the threads of a run wait for each other between steps: spins briefly, then sleeps.
class Barrier {
 public:
  void wait(unsigned threads);

#if !defined(__wasm__)  // which has one thread only

 private:
  std::atomic<unsigned> arrived_{0};
  std::atomic<std::uint32_t> generation_{0};
  std::mutex mutex_;
  std::condition_variable passed_;
#endif
};

// One thread's share of a run.
struct Share {
  unsigned index;
  unsigned threads;
  Barrier* barrier;

  // This thread's part of `count` rows.
  std::int64_t begin(std::int64_t count) const { return count * index / threads; }
  std::int64_t end(std::int64_t count) const { return count * (index + 1) / threads; }
  void wait() const {
    if (threads > 1) {
      barrier->wait(threads);
    }
  }
};

class Pool {
 public:
  // Must not throw: nobody could catch it in a worker.
  using Job = void (*)(void* argument, const Share& share);

  explicit Pool(unsigned threads);
  ~Pool();  // joins
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  unsigned threads() const { return threads_; }

  // Calls `job` once on each thread, the caller among them, and returns when all are done. While another run has the
  // threads, the caller does all the work. Throws Fault (MEMORY) if the threads cannot be made.
  void run(Job job, void* argument);

 private:
  struct Workers;

  const unsigned threads_;
  Claim claim_;
  std::unique_ptr<Workers> workers_;  // touched under claim_ only
};

}  // namespace reactnet

#endif  // REACTNET_SRC_POOL_H_
