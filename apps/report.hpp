#pragma once
// What the three programs share on the terminal: errors, signals, progress. No mathematics.

#include <cstdint>
#include <optional>
#include <string>

#include "format/result.hpp"

namespace CLI {
class App;
}

namespace sqf {

/// Parses the arguments. Holds the exit code where the program ends here: --help, --version, or a
/// usage error, which is printed.
std::optional<int> parse_arguments(CLI::App& app, int argc, char** argv);

/// Prints "program: error: ..." and returns the exit code.
int report(const char* program, const Error& error);

/// `code`, unless something printed did not reach standard output: then that is reported.
int close_output(const char* program, int code);

/// After this, the first Ctrl-C, SIGTERM or SIGHUP sets a flag instead of ending the program; a
/// second one ends it at once.
void catch_signals();
bool interrupted();
void clear_interrupt();  ///< forgets a Ctrl-C; the other two stay

/// How long work goes on, in words that do not change with every breath: an estimate stands until
/// another is far from it. Nothing of short work, nor before there is something to go by.
class TimeLeft {
 public:
  /// "about 3 min left" after so many seconds, `share` of the work done; may be empty.
  std::string words(double elapsed, double share);

 private:
  double end_ = 0;  ///< seconds after the start; 0: not estimated yet
};

/// A line on stderr that overwrites itself; silent where stderr is no terminal.
class ProgressBar {
 public:
  explicit ProgressBar(bool enabled);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  /// done and total in whatever takes the same time throughout.
  void show(uint64_t done, uint64_t total, const std::string& what);

 private:
  bool enabled_, shown_ = false;
  double start_, last_ = 0;
  TimeLeft left_;
};

/// Cores that this process may run on.
int available_cores();

}  // namespace sqf
