#include "model/added_tokens.hpp"

#include <algorithm>

#include "format/text.hpp"
#include "model/unicode.hpp"
#include "model/vocabulary.hpp"

namespace sqf {
namespace {

constexpr size_t kLongest = 512;

Result<bool> required_flag(const Field& item, std::string_view key) {
  if (!item.find(key)) return missing(item, key);
  return bool_at(item, key, false);
}

bool ends_with_word(std::string_view text) {
  size_t at = text.size();
  return at > 0 && is_word_char(previous_char(text, at));
}

bool starts_with_word(std::string_view text) {
  size_t at = 0;
  return !text.empty() && is_word_char(next_char(text, at));
}

bool is_space(char32_t code) {
  return (char_mask(code) & white_space) != 0;
}

}  // namespace

Result<AddedTokens> AddedTokens::from_json(const Field& list, const Normalizer& normalizer) {
  AddedTokens added;
  if (list) {
    if (!list->is_array()) return wrong_type(list, "an array");
    for (size_t i = 0; i < list->size(); ++i)
      if (auto read = added.read(list.at(i), normalizer); !read) return read.error();
  }
  auto& tokens = added.tokens_;
  std::sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  const auto twice = std::adjacent_find(tokens.begin(), tokens.end(),
                                        [](const auto& a, const auto& b) { return a.id == b.id; });
  if (twice != tokens.end())
    return malformed("tokenizer.json: added_tokens has id " + std::to_string(twice->id) + " twice");
  auto& by_content = added.by_content_;
  for (uint32_t i = 0; i < tokens.size(); ++i) by_content.push_back(i);
  std::sort(by_content.begin(), by_content.end(),
            [&](uint32_t a, uint32_t b) { return tokens[a].content < tokens[b].content; });
  for (size_t i = 1; i < by_content.size(); ++i)
    if (tokens[by_content[i - 1]].content == tokens[by_content[i]].content)
      return malformed("tokenizer.json: added_tokens has " +
                       in_quotes(tokens[by_content[i]].content) + " twice");
  if (auto built = added.build(added.raw_, false); !built) return built.error();
  if (auto built = added.build(added.normalized_, true); !built) return built.error();
  return added;
}

Result<void> AddedTokens::read(const Field& item, const Normalizer& normalizer) {
  if (!item->is_object()) return wrong_type(item, "an object");
  AddedToken token;
  auto id = integer_at(item, "id");
  if (!id) return id.error();
  if (*id < 0 || *id > kMaxTokenId)
    return malformed("tokenizer.json: " + item.path + ".id is " + std::to_string(*id) +
                     ", not in 0.." + std::to_string(kMaxTokenId));
  token.id = static_cast<int32_t>(*id);
  auto content = string_at(item, "content");
  if (!content) return content.error();
  token.content = *content;
  const std::pair<std::string_view, bool AddedToken::*> flags[] = {
      {"single_word", &AddedToken::single_word}, {"lstrip", &AddedToken::lstrip},
      {"rstrip", &AddedToken::rstrip},           {"normalized", &AddedToken::normalized},
      {"special", &AddedToken::special},
  };
  for (const auto& [key, member] : flags) {
    auto flag = required_flag(item, key);
    if (!flag) return flag.error();
    token.*member = *flag;
  }
  token.pattern = token.content;
  if (token.normalized && token.content.size() <= kLongest) {
    auto pattern = normalizer.apply(token.content);
    if (!pattern) return pattern.error();
    token.pattern = *std::move(pattern);
  }
  if (token.pattern.empty()) return malformed("tokenizer.json: " + item.path + ".content is empty");
  if (token.pattern.size() > kLongest)
    return unsupported("tokenizer.json: " + item.path + ".content is longer than " +
                       std::to_string(kLongest) + " bytes");
  tokens_.push_back(std::move(token));
  return {};
}

Result<void> AddedTokens::build(Index& index, bool normalized) {
  for (uint32_t i = 0; i < tokens_.size(); ++i)
    if (tokens_[i].normalized == normalized) index.sorted.push_back(i);
  const auto pattern = [&](uint32_t i) -> const std::string& { return tokens_[i].pattern; };
  std::sort(index.sorted.begin(), index.sorted.end(),
            [&](uint32_t a, uint32_t b) { return pattern(a) < pattern(b); });
  for (size_t i = 1; i < index.sorted.size(); ++i)
    if (pattern(index.sorted[i - 1]) == pattern(index.sorted[i]))
      return malformed("tokenizer.json: two added_tokens are " +
                       in_quotes(pattern(index.sorted[i])) + " once normalized");
  for (const uint32_t i : index.sorted) ++index.first[static_cast<uint8_t>(pattern(i)[0]) + 1u];
  for (size_t byte = 0; byte < 256; ++byte) index.first[byte + 1] += index.first[byte];
  return {};
}

const AddedToken* AddedTokens::find(int64_t id) const {
  const auto found =
      std::lower_bound(tokens_.begin(), tokens_.end(), id,
                       [](const auto& token, int64_t value) { return token.id < value; });
  return found != tokens_.end() && found->id == id ? &*found : nullptr;
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto found = std::lower_bound(
      by_content_.begin(), by_content_.end(), content,
      [&](uint32_t i, std::string_view value) { return tokens_[i].content < value; });
  return found != by_content_.end() && tokens_[*found].content == content ? &tokens_[*found]
                                                                          : nullptr;
}

const AddedToken* AddedTokens::longest_match(const Index& index, std::string_view rest) const {
  const auto byte = static_cast<uint8_t>(rest[0]);
  auto low = index.sorted.begin() + index.first[byte];
  auto high = index.sorted.begin() + index.first[byte + 1u];
  const AddedToken* best = nullptr;
  // [low, high) are the patterns that agree with the first `depth` bytes; one that ends there
  // sorts before all others.
  for (size_t depth = 1; low != high; ++depth) {
    if (tokens_[*low].pattern.size() == depth) best = &tokens_[*low++];
    if (depth == rest.size()) break;
    const auto at_depth = [&](uint32_t i) {
      return static_cast<uint8_t>(tokens_[i].pattern[depth]);
    };
    const auto next = static_cast<uint8_t>(rest[depth]);
    low = std::partition_point(low, high, [&](uint32_t i) { return at_depth(i) < next; });
    high = std::partition_point(low, high, [&](uint32_t i) { return at_depth(i) == next; });
  }
  return best;
}

std::vector<AddedTokens::Segment> AddedTokens::split(std::string_view text, bool normalized,
                                                     std::span<const TextRange> guarded) const {
  const Index& index = normalized ? normalized_ : raw_;
  std::vector<Segment> segments;
  size_t done = 0;        // all before it is in a segment
  size_t spaces_end = 0;  // where the last run of white space that was followed ended
  size_t at = 0;
  while (at < text.size() && !index.sorted.empty()) {
    const AddedToken* token = longest_match(index, text.substr(at));
    if (token == nullptr) {
      ++at;
      continue;
    }
    size_t begin = at;
    size_t end = at + token->pattern.size();
    at = end;
    while (!guarded.empty() && guarded.front().end <= begin) guarded = guarded.subspan(1);
    if (token->special && !guarded.empty() && guarded.front().begin < end) continue;
    if (token->single_word &&
        (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end))))
      continue;
    if (token->lstrip) {
      while (begin > done) {
        size_t before = begin;
        if (!is_space(previous_char(text, before))) break;
        begin = before;
      }
    }
    if (token->rstrip) {
      // Spaces may hold tokens of their own, each of which would follow the same run again.
      end = std::max(end, spaces_end);
      size_t after = end;
      while (after < text.size() && is_space(next_char(text, after))) end = after;
      spaces_end = end;
    }
    if (done < begin) segments.push_back({done, begin, -1});
    segments.push_back({begin, end, token->id});
    done = end;
  }
  if (done < text.size()) segments.push_back({done, text.size(), -1});
  return segments;
}

}  // namespace sqf
