#include "converter/gguf_vocabulary.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "format/text.hpp"

namespace sqf {
namespace {

constexpr size_t kMaxPieceBytes = 256;  // SentencePiece trains pieces of 16 characters by default
constexpr size_t kMaxSplits = 1 << 24;  // a vocabulary of 256k pieces has about 2 million
constexpr size_t kMaxMerges = 1 << 22;

Result<std::vector<TokenKind>> read_kinds(const GgufFile& file, size_t count,
                                          const std::string& what) {
  const GgufValue* value = file.find("tokenizer.ggml.token_type");
  std::vector<TokenKind> kinds(count, TokenKind::normal);
  if (value == nullptr) return kinds;
  if (!value->is_array || value->count != count)
    return malformed(what + ": tokenizer.ggml.token_type has " + std::to_string(value->count) +
                     " elements for " + std::to_string(count) + " tokens");
  for (size_t i = 0; i < count; ++i) {
    const std::optional<int64_t> kind = gguf_integer(*value, i);
    if (!kind || *kind < 1 || *kind > 6)
      return malformed(what + ": tokenizer.ggml.token_type of token " + std::to_string(i) + " is " +
                       (kind ? std::to_string(*kind) : "not an integer") + "; 1 to 6 is expected");
    kinds[i] = static_cast<TokenKind>(*kind);
  }
  return kinds;
}

/// A derived merge with what it is ordered by.
struct Ranked {
  float score = 0;
  uint32_t whole = 0;
  uint32_t left = 0;
  uint32_t right = 0;
  uint16_t left_characters = 0;
  uint16_t right_characters = 0;
};

bool starts_character(char c) {
  return (static_cast<uint8_t>(c) & 0xc0) != 0x80;
}

bool comes_before(const Ranked& a, const Ranked& b) {
  if (a.score != b.score) return a.score > b.score;
  if (a.left_characters != b.left_characters) return a.left_characters > b.left_characters;
  if (a.right_characters != b.right_characters) return a.right_characters > b.right_characters;
  return a.whole < b.whole;
}

/// Adds every split of one piece into two pieces.
void split_piece(const GgufVocabulary& vocabulary, uint32_t id, float score, uint16_t characters,
                 std::vector<Ranked>& out) {
  const std::string_view piece = vocabulary.tokens[id];
  uint16_t left_characters = 0;
  for (size_t cut = 1; cut < piece.size(); ++cut) {
    if (!starts_character(piece[cut])) continue;
    ++left_characters;
    const std::optional<uint32_t> left = vocabulary.find(piece.substr(0, cut));
    if (!left) continue;
    const std::optional<uint32_t> right = vocabulary.find(piece.substr(cut));
    if (!right) continue;
    out.push_back({score, id, *left, *right, left_characters,
                   static_cast<uint16_t>(characters - left_characters)});
  }
}

Result<const GgufValue*> find_scores(const GgufFile& file, size_t count, const std::string& what) {
  const GgufValue* scores = file.find("tokenizer.ggml.scores");
  if (scores == nullptr)
    return malformed(what + ": neither tokenizer.ggml.merges nor tokenizer.ggml.scores");
  if (!scores->is_array || scores->type != GgufType::f32 || scores->count != count)
    return malformed(what + ": tokenizer.ggml.scores is not an f32 for each of " +
                     std::to_string(count) + " tokens");
  return scores;
}

}  // namespace

std::optional<uint32_t> GgufVocabulary::find(std::string_view text) const {
  const auto found =
      std::lower_bound(by_text.begin(), by_text.end(), text,
                       [&](uint32_t id, std::string_view value) { return tokens[id] < value; });
  if (found == by_text.end() || tokens[*found] != text) return std::nullopt;
  return *found;
}

Result<GgufVocabulary> read_vocabulary(const GgufFile& file, std::string_view what) {
  const std::string name(what);
  const GgufValue* tokens = file.find("tokenizer.ggml.tokens");
  if (tokens == nullptr || !tokens->is_array || tokens->type != GgufType::string)
    return malformed(name + ": tokenizer.ggml.tokens is missing or not an array of strings");
  GgufVocabulary out;
  out.tokens = tokens->strings;
  for (size_t i = 0; i < out.tokens.size(); ++i)
    if (!is_utf8(out.tokens[i]))
      return malformed(name + ": token " + std::to_string(i) +
                       " is not UTF-8: " + in_quotes(out.tokens[i]));
  Result<std::vector<TokenKind>> kinds = read_kinds(file, out.tokens.size(), name);
  if (!kinds) return kinds.error();
  out.kinds = *std::move(kinds);
  out.by_text.resize(out.tokens.size());
  std::iota(out.by_text.begin(), out.by_text.end(), 0u);
  std::sort(out.by_text.begin(), out.by_text.end(), [&](uint32_t a, uint32_t b) {
    return out.tokens[a] != out.tokens[b] ? out.tokens[a] < out.tokens[b] : a < b;
  });
  const auto twice =
      std::adjacent_find(out.by_text.begin(), out.by_text.end(),
                         [&](uint32_t a, uint32_t b) { return out.tokens[a] == out.tokens[b]; });
  if (twice != out.by_text.end())
    return malformed(name + ": tokens " + std::to_string(twice[0]) + " and " +
                     std::to_string(twice[1]) + " are both " + in_quotes(out.tokens[*twice]));
  return out;
}

Result<std::vector<Merge>> read_merges(const GgufFile& file, const GgufVocabulary& vocabulary,
                                       std::string_view what) {
  const std::string name(what);
  const GgufValue* value = file.find("tokenizer.ggml.merges");
  if (value == nullptr || !value->is_array || value->type != GgufType::string)
    return malformed(name + ": tokenizer.ggml.merges is missing or not an array of strings");
  std::vector<Merge> merges;
  merges.reserve(value->strings.size());
  std::string whole;
  for (const std::string_view text : value->strings) {
    const std::string where =
        name + ": merge " + std::to_string(merges.size()) + " (" + in_quotes(text) + ")";
    // A part may itself begin with a space, so the first byte is never the separator.
    const size_t space = text.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == text.size())
      return malformed(where + " is not two tokens with a space between");
    const Merge merge(text.substr(0, space), text.substr(space + 1));
    whole.assign(merge.first).append(merge.second);
    if (!vocabulary.find(merge.first) || !vocabulary.find(merge.second) || !vocabulary.find(whole))
      return malformed(where + " joins or makes what is not a token");
    merges.push_back(merge);
  }
  return merges;
}

Result<std::vector<Merge>> derive_merges(const GgufFile& file, const GgufVocabulary& vocabulary,
                                         std::string_view what) {
  const std::string name(what);
  const size_t count = vocabulary.tokens.size();
  Result<const GgufValue*> scores = find_scores(file, count, name);
  if (!scores) return scores.error();
  std::vector<Ranked> ranked;
  size_t splits = 0;
  for (uint32_t id = 0; id < count; ++id) {
    const std::string_view piece = vocabulary.tokens[id];
    const float score = static_cast<float>(*gguf_number(**scores, id));
    if (!std::isfinite(score))
      return malformed(name + ": the score of token " + std::to_string(id) + " is not finite");
    if (piece.size() > kMaxPieceBytes) {
      if (vocabulary.kinds[id] != TokenKind::normal) continue;  // matched whole, never merged
      return unsupported(name + ": token " + std::to_string(id) + " is a piece of " +
                         std::to_string(piece.size()) + " bytes, over the limit of " +
                         std::to_string(kMaxPieceBytes));
    }
    splits += piece.size();
    const auto characters = std::count_if(piece.begin(), piece.end(), starts_character);
    split_piece(vocabulary, id, score, static_cast<uint16_t>(characters), ranked);
    if (splits > kMaxSplits || ranked.size() > kMaxMerges)
      return unsupported(name + ": the vocabulary has more merges than " +
                         std::to_string(kMaxMerges));
  }
  std::stable_sort(ranked.begin(), ranked.end(), comes_before);
  std::vector<Merge> merges;
  merges.reserve(ranked.size());
  for (const Ranked& merge : ranked)
    merges.emplace_back(vocabulary.tokens[merge.left], vocabulary.tokens[merge.right]);
  return merges;
}

}  // namespace sqf
