#include "pool.h"

#include <unistd.h>

#include <csignal>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "fault.h"
#include "fpu.h"

namespace reactnet {
namespace {

constexpr int kSpins = 2000;  // some tens of microseconds: longer than a step's imbalance, shorter than anyone notices

void pause() {
#if defined(__SSE2__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Waits until `word` differs from `old`.
void wait_for_change(const std::atomic<std::uint32_t>& word, std::uint32_t old, std::mutex& mutex,
                     std::condition_variable& changed) {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (word.load(std::memory_order_acquire) != old) {
      return;
    }
    pause();
  }
  std::unique_lock<std::mutex> lock(mutex);
  changed.wait(lock, [&] { return word.load(std::memory_order_acquire) != old; });
}

void change(std::atomic<std::uint32_t>& word, std::mutex& mutex, std::condition_variable& changed) {
  {
    const std::lock_guard<std::mutex> lock(mutex);
    word.fetch_add(1, std::memory_order_release);
  }
  changed.notify_all();
}

}  // namespace

bool Claim::try_take() {
  const long self = ::getpid();
  long holder = 0;
  if (owner_.compare_exchange_strong(holder, self, std::memory_order_acquire)) {
    return true;
  }
  return holder != self && owner_.compare_exchange_strong(holder, self, std::memory_order_acquire);
}

void Barrier::wait(unsigned threads) {
  const std::uint32_t generation = generation_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads) {
    arrived_.store(0, std::memory_order_relaxed);
    change(generation_, mutex_, passed_);
  } else {
    wait_for_change(generation_, generation, mutex_, passed_);
  }
}

struct Pool::Workers {
  explicit Workers(unsigned count) : process(::getpid()), total(count) {
    // A signal must find a thread of the host program, not one of ours.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      for (unsigned index = 1; index < total; ++index) {
        threads.emplace_back([this, index] { loop(index); });
      }
    } catch (...) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      stop();
      throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  ~Workers() { stop(); }

  void stop() {
    job = nullptr;
    change(started, mutex, start);
    for (std::thread& thread : threads) {
      thread.join();
    }
    threads.clear();
  }

  void loop(unsigned index) {
    const FpuGuard guard;
    for (std::uint32_t seen = 0;; ++seen) {
      wait_for_change(started, seen, mutex, start);
      if (job == nullptr) {
        return;
      }
      job(argument, Share{index, total, &barrier});
      barrier.wait(total);
    }
  }

  const long process;
  const unsigned total;
  Job job = nullptr;
  void* argument = nullptr;
  std::atomic<std::uint32_t> started{0};  // runs so far
  std::mutex mutex;
  std::condition_variable start;
  Barrier barrier;
  std::vector<std::thread> threads;
};

Pool::Pool(unsigned threads) : threads_(threads) {}

Pool::~Pool() {
  if (workers_ != nullptr && workers_->process != ::getpid()) {
    workers_.release();  // leaked on purpose: the threads stayed in the parent, there is nothing to join
  }
}

void Pool::run(Job job, void* argument) {
  const FpuGuard guard;
  if (threads_ == 1 || !claim_.try_take()) {
    job(argument, Share{0, 1, nullptr});
    return;
  }
  try {
    if (workers_ != nullptr && workers_->process != ::getpid()) {
      workers_.release();  // as in the destructor
    }
    if (workers_ == nullptr) {
      workers_ = std::make_unique<Workers>(threads_);
    }
  } catch (const std::system_error& error) {
    claim_.release();
    fail(REACTNET_ERROR_MEMORY, std::to_string(threads_) + " threads cannot be started: " + error.what(),
         "ask for fewer threads");
  } catch (...) {
    claim_.release();
    throw;
  }
  workers_->job = job;
  workers_->argument = argument;
  change(workers_->started, workers_->mutex, workers_->start);
  job(argument, Share{0, threads_, &workers_->barrier});
  workers_->barrier.wait(threads_);
  claim_.release();
}

}  // namespace reactnet
