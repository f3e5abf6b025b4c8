#pragma once
// A fixed team of threads for work that starts and ends thousands of times per second. Waiting is
// a short bounded spin, then sleep: a team that shares its cores with others must not burn them.

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace sqf {

/// Share `i` of `n` of [0, count): contiguous, as even as it gets.
struct Slice {
  Slice(int64_t count, int i, int n) : begin(count * i / n), end(count * (i + 1) / n) {}
  int64_t begin, end;
};

class ThreadPool {
 public:
  /// `threads` counts the caller; at least 1.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }

  /// Calls f(i, size()) once for each i in 0..size()-1 and returns when all are done; what they
  /// wrote is then visible. Thread i prefers share i, but whoever is free takes a share that its
  /// thread has not begun (it may be waiting for a core), so shares must not wait for each other.
  /// f must not throw, nor call run. One caller at a time.
  template <typename F>
  void run(F&& f) {
    if (size_ == 1) {
      f(0, 1);
      return;
    }
    using Function = std::remove_reference_t<F>;
    run_task({[](void* context, int share, int shares) {
                (*static_cast<Function*>(context))(share, shares);
              },
              const_cast<void*>(static_cast<const void*>(&f))});
  }

 private:
  struct Task {
    void (*call)(void* context, int share, int shares) = nullptr;
    void* context = nullptr;
  };
  /// Holds the number of the run whose share waits here, 0 once somebody has it.
  struct alignas(64) Share {
    std::atomic<uint32_t> run{0};
  };

  void run_task(Task task);
  void work(int self);
  void take_shares(uint32_t run, int self);

  int size_;
  std::unique_ptr<Share[]> shares_;
  Task task_;
  alignas(64) std::atomic<uint32_t> run_{0};  ///< number of the latest run, never 0 once begun
  alignas(64) std::atomic<uint32_t> unfinished_{0};
  alignas(64) std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace sqf
