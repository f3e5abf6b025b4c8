#include "runtime/thread_pool.hpp"

#include <algorithm>

namespace sqf {
namespace {

// A pause takes 40 to 140 cycles on current x86: some 20 to 50 us in all.
constexpr int kSpins = 1500;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Returns once `value` differs from `old`.
uint32_t wait_change(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int i = 0; i < kSpins; i++) {
    const uint32_t now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    pause();
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads)
    : size_(std::max(threads, 1)), shares_(new Share[static_cast<size_t>(size_)]) {
  for (int i = 1; i < size_; i++) workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  run_.fetch_add(1);
  run_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run_task(Task task) {
  task_ = task;
  uint32_t run = run_.load(std::memory_order_relaxed) + 1;
  if (run == 0) run = 1;
  unfinished_.store(static_cast<uint32_t>(size_), std::memory_order_relaxed);
  // A worker that still looks at the run before cannot take these: it asks for that run's number.
  for (int i = 0; i < size_; i++)
    shares_[static_cast<size_t>(i)].run.store(run, std::memory_order_release);
  run_.store(run, std::memory_order_seq_cst);
  run_.notify_all();
  take_shares(run, 0);
  for (uint32_t left = unfinished_.load(std::memory_order_acquire); left != 0;)
    left = wait_change(unfinished_, left);
}

void ThreadPool::take_shares(uint32_t run, int self) {
  for (int i = 0; i < size_; i++) {
    const int share = (self + i) % size_;
    uint32_t expected = run;
    if (!shares_[static_cast<size_t>(share)].run.compare_exchange_strong(
            expected, 0, std::memory_order_acquire, std::memory_order_relaxed))
      continue;
    task_.call(task_.context, share, size_);
    if (unfinished_.fetch_sub(1) == 1) unfinished_.notify_one();
  }
}

void ThreadPool::work(int self) {
  uint32_t seen = 0;
  while (true) {
    seen = wait_change(run_, seen);
    if (stop_.load()) return;
    take_shares(seen, self);
  }
}

}  // namespace sqf
