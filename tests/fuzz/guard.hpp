#pragma once
// What every target shares: the bound on the time of one input, and a check that stays in release
// builds. Both end the process, which is how a fuzzer learns of a finding.

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <span>
#include <string_view>

namespace sqf {

/// Ends the process if its thread worked longer than the limit: 1 s, or 10 s under sanitizers,
/// which make code that allocates much 13 times slower. Time of the processor, so that a busy
/// machine finds nothing.
class TimeGuard {
 public:
  TimeGuard();
  TimeGuard(const TimeGuard&) = delete;
  TimeGuard& operator=(const TimeGuard&) = delete;
  ~TimeGuard();

 private:
  double start_;
};

/// Ends the process with `what` unless `holds`.
void require(bool holds, std::string_view what);

/// Keeps a value from being optimized away, so that the reads behind it happen.
void consume(uint64_t value);

inline std::span<const std::byte> input_bytes(const uint8_t* data, size_t size) {
  return std::as_bytes(std::span(data, size));
}

inline std::string_view input_text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace sqf
