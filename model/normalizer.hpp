#pragma once
// What happens to text before it is cut: NFC, Prepend, Replace of a string, and sequences of
// these. Other normalizers, and Replace by regular expression, are refused by name.

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "format/result.hpp"
#include "model/json_fields.hpp"

namespace sqf {

/// Replaces every occurrence of `pattern`, from the left, not looking into what it put in.
std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content);

/// Replace's pattern {"String": ...}; unsupported if it is a regular expression.
Result<std::string> string_pattern(const Field& component);

class Normalizer {
 public:
  /// A null field means no normalizer.
  static Result<Normalizer> from_json(const Field& component);

  bool empty() const { return steps_.empty(); }

  /// Errors (malformed): the steps blow the text up beyond all reason. Precondition: UTF-8.
  Result<std::string> apply(std::string_view text) const;

 private:
  struct Nfc {};
  struct Prepend {
    std::string text;
  };
  struct Replace {
    std::string pattern;
    std::string content;
  };
  Result<void> add(const Field& component, int depth);

  std::vector<std::variant<Nfc, Prepend, Replace>> steps_;
};

}  // namespace sqf
