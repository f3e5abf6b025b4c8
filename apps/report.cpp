#include "apps/report.hpp"

#include <sched.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstring>

namespace sqf {
namespace {

volatile std::sig_atomic_t signal_caught = 0;  ///< 0: none

/// The first signal asks the program to stop; whoever sends another does not want to wait.
void on_signal(int number) {
  if (signal_caught != 0) {
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
  signal_caught = number;
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

int report(const char* program, const Error& error) {
  std::fprintf(stderr, "%s: error: %s\n", program, error.message.c_str());
  return static_cast<int>(error.code);
}

std::optional<int> parse_arguments(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    app.exit(e);
    return close_output(app.get_name().c_str(), 0);
  } catch (const CLI::ParseError& e) {
    return report(app.get_name().c_str(), usage_error(std::string(e.what()) + " (see --help)"));
  }
  return std::nullopt;
}

int close_output(const char* program, int code) {
  errno = 0;
  std::cout.flush();
  const bool flushed = std::fflush(stdout) == 0;
  if (flushed && std::ferror(stdout) == 0) return code;
  return report(program, io_error(std::string("standard output: ") +
                                  (errno != 0 ? std::strerror(errno) : "cannot write")));
}

void catch_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    // What was ignored at the start stays so: nohup, jobs in the background of a script.
    struct sigaction old = {};
    if (::sigaction(number, nullptr, &old) == 0 && old.sa_handler != SIG_IGN)
      ::sigaction(number, &action, nullptr);
  }
  // A file larger than `ulimit -f` is an error of the call, not the end of the program.
  std::signal(SIGXFSZ, SIG_IGN);
}

bool interrupted() {
  return signal_caught != 0;
}
void clear_interrupt() {
  if (signal_caught == SIGINT) signal_caught = 0;
}

ProgressBar::ProgressBar(bool enabled)
    : enabled_(enabled && ::isatty(STDERR_FILENO) != 0), start_(now()) {}

ProgressBar::~ProgressBar() {
  if (shown_) std::fprintf(stderr, "\r\033[K");
}

void ProgressBar::show(uint64_t done, uint64_t total, const std::string& what) {
  const double time = now();
  if (!enabled_ || (time - last_ < 0.1 && done < total)) return;
  last_ = time;
  shown_ = true;
  const double share =
      static_cast<double>(done) / static_cast<double>(std::max<uint64_t>(total, 1));
  constexpr int kWidth = 30;
  std::string bar(static_cast<size_t>(share * kWidth), '#');
  bar.resize(kWidth, '.');
  const std::string left = left_.words(time - start_, share);
  std::fprintf(stderr, "\r\033[K[%s] %3.0f %%  %s%s%s", bar.c_str(), share * 100, left.c_str(),
               left.empty() ? "" : "  ", what.substr(0, 40).c_str());
}

std::string TimeLeft::words(double elapsed, double share) {
  constexpr double kShort = 20, kStart = 5, kFar = 20;  // seconds
  if (elapsed < kStart || !(share > 0) || share >= 1) return "";
  const double end = elapsed / share;
  const double left = end - elapsed, shown = end_ - elapsed;
  if (end_ == 0 || shown < 0 || std::abs(left - shown) > std::max(kFar, 0.2 * shown)) end_ = end;
  const double seconds = end_ - elapsed;
  if (end_ < kShort) return "";
  // Rounded up: nobody minds less.
  const auto up = [&](double unit) { return static_cast<int64_t>(std::ceil(seconds / unit)); };
  if (seconds <= 90) return "about " + std::to_string(10 * up(10)) + " s left";
  if (seconds <= 90 * 60) return "about " + std::to_string(up(60)) + " min left";
  return "about " + std::to_string(up(3600)) + " h left";
}

int available_cores() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

}  // namespace sqf
