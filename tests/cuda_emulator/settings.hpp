#pragma once

// What kind of device the emulator plays, from SQF_EMULATOR: words "key=value" with blanks between.
// A word it does not know, or a value out of range, is a mistake: cuInit fails and says so.
//
//   capability=8.0 memory=40G driver=13080 devices=1 sms=108
//   fail_alloc=N    the N-th allocation of device memory is refused
//   fail_launch=N   the N-th launch is refused: out of resources
//   illegal=N       the N-th launch ends with an illegal address; each counted from 1 at cuInit
//   init=CODE       cuInit returns it
//   seed=S          blocks, warps and time slices in another order; 0: in order
//   threads=N       blocks at a time
//   limit=N         operations of a block after which it is said not to end (a launch timeout)
//   errors=late     what goes wrong in a kernel shows at the next call that waits, not at once

#include <cstdint>
#include <string>

namespace sqf {

struct Settings {
  int capability = 80;
  uint64_t memory = uint64_t{40} << 30;
  int driver = 13080;  // takes what any nvcc of 13.x made
  int devices = 1;
  int multiprocessors = 108;
  int64_t fail_alloc = 0, fail_launch = 0, illegal = 0;
  int init = 0;
  uint64_t seed = 0;
  unsigned threads = 1;
  int64_t limit = int64_t{1} << 28;
  bool late_errors = false;
};

/// What is wrong, or nothing.
std::string parse_settings(const char* text, Settings& settings);

}  // namespace sqf
