#include "tests/fuzz/guard.hpp"

#include <cstdio>
#include <cstdlib>

namespace sqf {
namespace {

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#elif defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

constexpr double kSeconds = kSanitized ? 10 : 1;

double thread_seconds() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

volatile uint64_t sink;

}  // namespace

TimeGuard::TimeGuard() : start_(thread_seconds()) {}

TimeGuard::~TimeGuard() {
  const double seconds = thread_seconds() - start_;
  if (seconds < kSeconds) return;
  std::fprintf(stderr, "one input took %.2f s, the limit is %.0f s\n", seconds, kSeconds);
  std::abort();
}

void require(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

void consume(uint64_t value) {
  sink = value;
}

}  // namespace sqf
