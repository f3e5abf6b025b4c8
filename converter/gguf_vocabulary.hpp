#pragma once
// Tokens and merges of a GGUF tokenizer, checked, before they are written down as JSON. Look-ups
// are by binary search: no hash for an attacker to fill.

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/gguf.hpp"
#include "format/result.hpp"

namespace sqf {

/// GGUF's numbers for what a token is.
enum class TokenKind : uint8_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6,
};

struct GgufVocabulary {
  std::vector<std::string_view> tokens;  ///< by id; views into the file
  std::vector<TokenKind> kinds;          ///< by id
  std::vector<uint32_t> by_text;         ///< ids in order of their text

  std::optional<uint32_t> find(std::string_view text) const;
};

using Merge = std::pair<std::string_view, std::string_view>;

/// Errors: tokens that are not UTF-8 or occur twice, or arrays that disagree in length.
Result<GgufVocabulary> read_vocabulary(const GgufFile& file, std::string_view what);

/// tokenizer.ggml.merges, each checked against the vocabulary.
Result<std::vector<Merge>> read_merges(const GgufFile& file, const GgufVocabulary& vocabulary,
                                       std::string_view what);

/// For SentencePiece files, which have scores instead: every way to split a piece into two
/// pieces, best score of the whole first, then longer left and longer right part first, then in
/// order of ids. Follows generate_merges in transformers, so that ids come out the same.
Result<std::vector<Merge>> derive_merges(const GgufFile& file, const GgufVocabulary& vocabulary,
                                         std::string_view what);

}  // namespace sqf
