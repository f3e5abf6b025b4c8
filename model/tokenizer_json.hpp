#pragma once
// Reads the text of a tokenizer.json. Nearly all of it is model.vocab and model.merges, hundreds
// of thousands of short strings; these go straight into flat tables, and only the rest becomes a
// tree. As strict as parse_json: same refusals, same wording.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/json.hpp"
#include "format/result.hpp"
#include "model/json_fields.hpp"

namespace sqf {

constexpr JsonLimits kTokenizerLimits = {.depth = 64, .values = size_t{1} << 22};

/// The entries of model.vocab in order. Text lies in one block; entry i of `ends` is where the
/// text of entry i ends.
struct TokenList {
  std::string block;
  std::vector<uint32_t> ends;
  std::vector<uint32_t> ids;  ///< at most kMaxTokenId

  size_t size() const { return ids.size(); }
  std::string_view text(size_t i) const {
    const uint32_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(block).substr(begin, ends[i] - begin);
  }
};

/// The pairs of model.merges in order. Text lies in one block; entry 2i of `ends` is where the
/// left token of merge i ends, entry 2i+1 where its right one does.
struct MergeList {
  std::string block;
  std::vector<uint32_t> ends;

  size_t size() const { return ends.size() / 2; }
  std::string_view left(size_t i) const { return part(2 * i); }
  std::string_view right(size_t i) const { return part(2 * i + 1); }
  /// Left and right stand next to each other: what they merge to.
  std::string_view merged(size_t i) const {
    const uint32_t begin = i == 0 ? 0 : ends[2 * i - 1];
    return std::string_view(block).substr(begin, ends[2 * i + 1] - begin);
  }

 private:
  std::string_view part(size_t i) const {
    const uint32_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(block).substr(begin, ends[i] - begin);
  }
};

struct TokenizerJson {
  Json tree;  ///< without what is below; model.vocab, model.merges are empty in it
  TokenList tokens;
  MergeList merges;
};

/// Errors (malformed): not strict JSON, nesting deeper than 64; a vocabulary entry that is no id;
/// a merge that is no pair of tokens.
Result<TokenizerJson> read_tokenizer_json(std::string_view text);

/// A tokenizer.json without its vocabulary and merges, as TOKB carries it. Errors (malformed): not
/// strict JSON, nesting deeper than 64, a vocabulary or merges in it after all.
Result<Json> read_tokenizer_rest(std::string_view text);

/// The member "model" of the file. Errors: malformed; unsupported for models other than BPE, and
/// for affixes, with which two tokens would not merge to the token of their joint text.
Result<Field> bpe_model(const Field& root);

}  // namespace sqf
