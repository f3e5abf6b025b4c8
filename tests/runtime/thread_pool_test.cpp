// The team: every share once per run, results visible afterwards, also when threads sleep between
// runs and when there are more threads than cores.
#include "runtime/thread_pool.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <vector>

namespace sqf {
namespace {

TEST(ThreadPool, RunsEveryShareOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    ASSERT_EQ(pool.size(), threads);
    std::vector<int> counts(static_cast<size_t>(threads), 0);  // not atomic: a share has one thread
    for (int run = 1; run <= 3000; run++) {
      pool.run([&](int share, int shares) {
        ASSERT_EQ(shares, threads);
        counts[static_cast<size_t>(share)]++;
      });
      for (int share = 0; share < threads; share++)
        ASSERT_EQ(counts[static_cast<size_t>(share)], run) << share << " of " << threads;
    }
  }
}

TEST(ThreadPool, WakesAfterSleep) {
  ThreadPool pool(4);
  std::vector<int> counts(4, 0);
  for (int run = 1; run <= 20; run++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    pool.run([&](int share, int) {
      if (share % 2 == 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      counts[static_cast<size_t>(share)]++;
    });
    for (int count : counts) ASSERT_EQ(count, run);
  }
}

TEST(ThreadPool, NoThreadsMeansTheCaller) {
  ThreadPool pool(0);
  EXPECT_EQ(pool.size(), 1);
  int calls = 0;
  pool.run([&](int share, int shares) { calls += share == 0 && shares == 1; });
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace sqf
