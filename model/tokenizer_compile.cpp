#include "model/tokenizer_compile.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "format/text.hpp"
#include "model/tokenizer_tables.hpp"
#include "model/vocabulary.hpp"

namespace sqf {
namespace {

/// Where a value stands in a text: bytes [begin, end).
struct Place {
  size_t begin = 0;
  size_t end = 0;
};

/// Walks over text that the strict reader has passed, to tell where its values stand.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  /// The value of member `key` of the object that starts at `object`. Precondition: both are there.
  Place member(size_t object, std::string_view key) {
    at_ = object + 1;
    while (at_ < text_.size()) {
      const Place name = value();
      skip(" \t\r\n:");
      const Place found = value();
      if (is_key(name, key)) return found;
      skip(" \t\r\n,");
    }
    return {};
  }

 private:
  void skip(std::string_view characters) {
    at_ = std::min(text_.find_first_not_of(characters, at_), text_.size());
  }
  Place value() {
    skip(" \t\r\n");
    const size_t begin = at_;
    int depth = 0;
    do {
      const char c = at_ < text_.size() ? text_[at_] : '}';
      if (c == '"') {
        skip_string();
      } else if (c == '{' || c == '[') {
        ++depth, ++at_;
      } else if (c == '}' || c == ']') {
        --depth, ++at_;
      } else if (depth > 0) {
        at_ = std::min(text_.find_first_of("\"{}[]", at_), text_.size());
      } else {
        at_ = std::min(text_.find_first_of(" \t\r\n,]}", at_), text_.size());
      }
    } while (depth > 0);
    return {begin, at_};
  }
  void skip_string() {
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_)
      if (text_[at_] == '\\') ++at_;
    ++at_;
  }
  /// Whether the string at `name` is `key`, however it is spelled.
  bool is_key(const Place& name, std::string_view key) const {
    const Json json = Json::parse(text_.substr(name.begin, name.end - name.begin), nullptr, false);
    const auto* string = json.get_ptr<const std::string*>();
    return string != nullptr && *string == key;
  }

  std::string_view text_;
  size_t at_ = 0;
};

/// The text with the values of model.vocab and model.merges replaced by empty ones.
std::string rest_of(std::string_view text) {
  Scanner scanner(text);
  const Place model = scanner.member(text.find('{'), "model");
  std::pair<Place, std::string_view> cuts[] = {{scanner.member(model.begin, "vocab"), "{}"},
                                               {scanner.member(model.begin, "merges"), "[]"}};
  if (cuts[0].first.begin > cuts[1].first.begin) std::swap(cuts[0], cuts[1]);
  std::string rest;
  size_t done = 0;
  for (const auto& [place, empty] : cuts) {
    rest.append(text.substr(done, place.begin - done)).append(empty);
    done = place.end;
  }
  return rest.append(text.substr(done));
}

/// Token text in the order of ids.
struct TokenPool {
  std::vector<uint32_t> begin;
  std::string pool;
  uint32_t empty_id = kNone;

  VocabularyTable table() const { return {begin, pool, empty_id}; }
};

Result<TokenPool> lay_out_tokens(const TokenList& tokens) {
  int64_t largest = -1;
  for (const uint32_t id : tokens.ids) largest = std::max<int64_t>(largest, id);
  // Real vocabularies have small gaps; this bound only keeps a tiny file from asking for much.
  const auto bound = static_cast<int64_t>(4 * tokens.size() + 65536);
  if (largest >= bound)
    return malformed("tokenizer.json: model.vocab: id " + std::to_string(largest) +
                     " is too large for " + std::to_string(tokens.size()) + " tokens");
  std::vector<uint32_t> entry(static_cast<size_t>(largest + 1), kNone);
  for (uint32_t i = 0; i < tokens.size(); ++i) {
    uint32_t& there = entry[tokens.ids[i]];
    if (there != kNone) {
      const auto one = in_quotes(tokens.text(there)), other = in_quotes(tokens.text(i));
      return malformed("tokenizer.json: model.vocab: " + one +
                       (tokens.text(there) == tokens.text(i)
                            ? " is there twice"
                            : " and " + other + " both have id " + std::to_string(tokens.ids[i])));
    }
    there = i;
  }
  TokenPool out;
  out.pool.reserve(tokens.block.size());
  out.begin.reserve(entry.size() + 1);
  for (uint32_t id = 0; id < entry.size(); ++id) {
    out.begin.push_back(static_cast<uint32_t>(out.pool.size()));
    if (entry[id] == kNone) continue;
    if (tokens.text(entry[id]).empty()) out.empty_id = id;
    out.pool += tokens.text(entry[id]);
  }
  out.begin.push_back(static_cast<uint32_t>(out.pool.size()));
  return out;
}

struct Merge {
  uint32_t left, right, rank, merged;
};

Result<std::vector<Merge>> find_merges(const MergeList& merges, const Vocabulary& vocabulary) {
  std::vector<Merge> found;
  found.reserve(merges.size());
  int32_t next = 0;
  for (size_t i = 0; i < merges.size(); ++i) {
    const auto left = vocabulary.find(merges.left(i));
    const auto right = vocabulary.find(merges.right(i));
    // Ids mostly follow the order of merges, which saves looking every third token up.
    const bool in_order = vocabulary.text(next) == merges.merged(i) && vocabulary.contains(next);
    const auto merged = in_order ? std::optional(next) : vocabulary.find(merges.merged(i));
    if (!left || !right || !merged)
      return malformed("tokenizer.json: model.merges[" + std::to_string(i) + "] names " +
                       in_quotes(!left    ? merges.left(i)
                                 : !right ? merges.right(i)
                                          : merges.merged(i)) +
                       ", which is not in model.vocab");
    found.push_back({static_cast<uint32_t>(*left), static_cast<uint32_t>(*right),
                     static_cast<uint32_t>(i), static_cast<uint32_t>(*merged)});
    next = *merged + 1;
  }
  return found;
}

struct MergeColumns {
  std::vector<uint32_t> first, right, rank, merged;

  MergeArrays arrays() const { return {first, right, rank, merged}; }
};

/// Sorts by `key`, an id; those with the same one stay in their order.
std::vector<Merge> sorted_by(uint32_t Merge::*key, const std::vector<Merge>& merges, size_t n_ids) {
  std::vector<uint32_t> place(n_ids + 1, 0);
  for (const Merge& merge : merges) ++place[merge.*key + 1u];
  for (size_t id = 0; id < n_ids; ++id) place[id + 1] += place[id];
  std::vector<Merge> sorted(merges.size());
  for (const Merge& merge : merges) sorted[place[merge.*key]++] = merge;
  return sorted;
}

/// Of merges of the same pair the last one counts, as in the reference implementation.
MergeColumns lay_out_merges(const std::vector<Merge>& by_rank, size_t n_ids) {
  const auto merges = sorted_by(&Merge::left, sorted_by(&Merge::right, by_rank, n_ids), n_ids);
  MergeColumns out;
  for (auto* column : {&out.right, &out.rank, &out.merged}) column->reserve(merges.size());
  out.first.assign(n_ids + 1, 0);
  for (size_t i = 0; i < merges.size(); ++i) {
    const Merge& merge = merges[i];
    if (i + 1 < merges.size() && merges[i + 1].left == merge.left &&
        merges[i + 1].right == merge.right)
      continue;
    ++out.first[merge.left + 1u];
    out.right.push_back(merge.right);
    out.rank.push_back(merge.rank);
    out.merged.push_back(merge.merged);
  }
  for (size_t id = 0; id < n_ids; ++id) out.first[id + 1] += out.first[id];
  return out;
}

}  // namespace

Result<std::string> compile_tokenizer(std::string_view tokenizer_json) {
  auto json = read_tokenizer_json(tokenizer_json);
  if (!json) return json.error();
  if (auto model = bpe_model({&json->tree, ""}); !model) return model.error();
  return compile_tables(*json, rest_of(tokenizer_json));
}

Result<std::string> compile_tables(const TokenizerJson& json, std::string_view rest) {
  auto tokens = lay_out_tokens(json.tokens);
  if (!tokens) return tokens.error();
  auto vocabulary = Vocabulary::create(tokens->table());
  if (!vocabulary) return malformed("tokenizer.json: model.vocab: " + vocabulary.error().message);
  auto merges = find_merges(json.merges, *vocabulary);
  if (!merges) return merges.error();
  const MergeColumns columns = lay_out_merges(*merges, static_cast<size_t>(vocabulary->size()));
  return write_tables({tokens->table(), columns.arrays(), rest});
}

}  // namespace sqf
