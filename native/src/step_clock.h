// What each step of a plan takes.
#ifndef REACTNET_SRC_STEP_CLOCK_H_
#define REACTNET_SRC_STEP_CLOCK_H_

#if !defined(__wasm__)
#include <chrono>
#endif

namespace reactnet {

#if defined(__wasm__)
// The module has no imports, so there is no clock; nobody asks it for times either.
class StepClock {
 public:
  explicit StepClock(double*) {}
  void start() {}
  void tick() {}
};
#else
// Adds the time since the last tick to the next step's, each time round the plan. Given null, it does nothing.
class StepClock {
 public:
  explicit StepClock(double* seconds) : seconds_(seconds) {}

  void start() {
    if (seconds_ != nullptr) {
      next_ = seconds_;
      last_ = Clock::now();
    }
  }

  void tick() {
    if (seconds_ != nullptr) {
      const Clock::time_point now = Clock::now();
      *next_++ += std::chrono::duration<double>(now - last_).count();
      last_ = now;
    }
  }

 private:
  using Clock = std::chrono::steady_clock;
  double* const seconds_;
  double* next_ = nullptr;
  Clock::time_point last_;
};
#endif

}  // namespace reactnet

#endif  // REACTNET_SRC_STEP_CLOCK_H_
