#pragma once
// Broken rules in the order in which the checks of spec/sqf.md section 6 come upon them, up to a
// limit: a loader stops at the first, sqcheck names them all.

#include <cstddef>
#include <utility>
#include <vector>

#include "format/result.hpp"

namespace sqf {

class Findings {
 public:
  explicit Findings(size_t limit) : limit_(limit) {}

  void add(Error error) {
    if (!full()) errors_.push_back(std::move(error));
  }
  void add(const Result<void>& result) {
    if (!result) add(result.error());
  }
  bool full() const { return errors_.size() >= limit_; }
  bool empty() const { return errors_.empty(); }
  size_t count() const { return errors_.size(); }
  const Error& first() const { return errors_.front(); }
  std::vector<Error> take() && { return std::move(errors_); }

 private:
  size_t limit_;
  std::vector<Error> errors_;
};

}  // namespace sqf
