#pragma once
// Cuts normalized text into the pieces that are encoded one by one: ByteLevel, Digits, Split (by a
// string or one of the known regular expressions), Metaspace, and sequences of these. Anything
// else is refused by name, an unknown expression with its text.

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "format/result.hpp"
#include "model/json_fields.hpp"
#include "model/metaspace.hpp"
#include "model/split_regex.hpp"

namespace sqf {

/// Consecutive pieces of text: piece i ends at ends[i] and begins where the one before it ends.
struct Pieces {
  std::string text;
  std::vector<uint32_t> ends;
  bool at_start = false;  ///< the first piece begins where the whole text begins

  size_t size() const { return ends.size(); }
  std::string_view operator[](size_t i) const {
    const uint32_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(text).substr(begin, ends[i] - begin);
  }
  /// Ends the piece that has been appended to `text`; an empty one is dropped.
  void close() {
    if (text.size() > (ends.empty() ? 0 : ends.back()))
      ends.push_back(static_cast<uint32_t>(text.size()));
  }
};

class PreTokenizer {
 public:
  /// A null field means that text is not cut.
  static Result<PreTokenizer> from_json(const Field& component);

  /// The pieces of `text`. `at_start`: nothing comes before it. Errors (malformed): the text comes
  /// to more than 256 MiB. Precondition: UTF-8.
  Result<Pieces> split(std::string text, bool at_start) const;

 private:
  struct ByteLevel {
    bool add_prefix_space;
    bool use_regex;
  };
  struct Digits {
    bool individual;
  };
  enum class Behavior : uint8_t {
    removed,
    isolated,
    merged_with_previous,
    merged_with_next,
    contiguous,
  };
  struct Split {
    const SplitRegex* regex;  ///< nullptr: by `text`
    std::string text;
    Behavior behavior;
    bool invert;
  };

  Result<void> add(const Field& component, int depth);
  Result<Split> read_split(const Field& component) const;
  static void apply_behavior(Behavior behavior, std::vector<Span>& spans);
  static void run(const ByteLevel& step, const Pieces& in, Pieces& out);
  static void run(const Digits& step, const Pieces& in, Pieces& out);
  static void run(const Split& step, const Pieces& in, Pieces& out);
  static void run(const Metaspace& step, const Pieces& in, Pieces& out);

  std::vector<std::variant<ByteLevel, Digits, Split, Metaspace>> steps_;
};

}  // namespace sqf
