#pragma once
// Tokens that are found in the text before anything else is done to it: longest first, from the
// left; those that are not "normalized" in the raw text, the others in normalized text. Matching
// takes time proportional to the text times the longest token, which is bounded.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/result.hpp"
#include "model/json_fields.hpp"
#include "model/normalizer.hpp"

namespace sqf {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  std::string pattern;  ///< what is looked for: the content, normalized where that is asked for
  bool single_word = false;
  bool lstrip = false;  ///< takes the white space before it
  bool rstrip = false;
  bool normalized = false;
  bool special = false;
};

/// Bytes [begin, end) of a text.
struct TextRange {
  size_t begin = 0;
  size_t end = 0;
};

class AddedTokens {
 public:
  /// `list` is tokenizer.json's added_tokens; null means none. Errors: malformed as json_fields
  /// has it, two tokens with one id, content or pattern; unsupported for longer than 512 bytes.
  static Result<AddedTokens> from_json(const Field& list, const Normalizer& normalizer);

  const std::vector<AddedToken>& all() const { return tokens_; }  ///< ascending ids

  /// nullptr if there is no such added token.
  const AddedToken* find(int64_t id) const;
  const AddedToken* find(std::string_view content) const;

  /// Bytes [begin, end) of the text: an added token, or (id -1) what lies between.
  struct Segment {
    size_t begin = 0;
    size_t end = 0;
    int32_t id = -1;
  };
  /// Segments in order. `normalized` says which kind of text this is, and so which tokens are
  /// looked for. A special one that touches a guarded range stays part of the text; `guarded`
  /// ascends without overlap.
  std::vector<Segment> split(std::string_view text, bool normalized,
                             std::span<const TextRange> guarded) const;

 private:
  /// Patterns in order, and for each first byte the range of them that starts with it.
  struct Index {
    std::vector<uint32_t> sorted;  ///< indices into tokens_
    std::array<uint32_t, 257> first{};
  };
  Result<void> read(const Field& item, const Normalizer& normalizer);
  Result<void> build(Index& index, bool normalized);
  const AddedToken* longest_match(const Index& index, std::string_view rest) const;

  std::vector<AddedToken> tokens_;
  std::vector<uint32_t> by_content_;  ///< indices into tokens_
  Index raw_;
  Index normalized_;
};

}  // namespace sqf
