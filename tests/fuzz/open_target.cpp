// Opening: check_head that names up to sixteen rules, and read_head that stops at the first. Both
// must come to the same conclusion.

#include "format/head.hpp"
#include "format/validate_head.hpp"
#include "tests/fuzz/guard.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const sqf::TimeGuard guard;
  const auto file = sqf::input_bytes(data, size);
  constexpr size_t kFindings = 16;
  sqf::Findings findings(kFindings);
  const bool good = [&] {
    sqf::Head head;  // gone before the next one: memory is counted, too
    return sqf::check_head(file, findings, &head);
  }();
  sqf::require(good == findings.empty(), "a head is filled exactly where nothing was found");
  sqf::require(findings.count() <= kFindings, "no more findings than asked for");
  const auto read = sqf::read_head(file);
  sqf::require(read.has_value() == good, "read_head and check_head agree");
  if (good)
    sqf::consume(read->directory.tensors.size() + read->meta.size());
  else
    sqf::require(read.error().rule == findings.first().rule, "both name the same rule first");
  return 0;
}
