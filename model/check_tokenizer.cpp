// R703: what spec/sqf.md section 5 asks of TOKN. A reader of its own, because the tokenizer's
// reader answers another question: whether this build can use the text.

#include <optional>
#include <string>
#include <vector>

#include "format/rules.hpp"
#include "format/text.hpp"
#include "model/check_model.hpp"
#include "model/tokenizer_json.hpp"

namespace sqf {
namespace {

Error bad(const std::string& what) {
  return broken(Rule::model_tokenizer, "tokenizer.json: " + what);
}

/// The member of an object, or null; null of what is no object.
const Json* member(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

/// Nothing unless `json` is an integer in 0 .. limit - 1.
std::optional<size_t> id_of(const Json& json, int64_t limit) {
  if (const auto* value = json.get_ptr<const Json::number_unsigned_t*>())
    return *value < static_cast<uint64_t>(limit) ? std::optional<size_t>(*value) : std::nullopt;
  const auto* value = json.get_ptr<const Json::number_integer_t*>();  // negative, or -0
  return value != nullptr && *value == 0 ? std::optional<size_t>(0) : std::nullopt;
}

Result<void> check_vocabulary(const Json& vocabulary, int64_t limit) {
  std::vector<bool> taken;  // by id: 2 MiB at most
  for (const auto& [token, id] : vocabulary.items()) {
    const auto at = id_of(id, limit);
    if (!at)
      return bad("model.vocab: the id of " + in_quotes(token) + " is no integer below vocab_size " +
                 std::to_string(limit));
    if (*at >= taken.size()) taken.resize(*at + 1);
    if (taken[*at])
      return bad("model.vocab: the id of " + in_quotes(token) + ", " + std::to_string(*at) +
                 ", is also another token's");
    taken[*at] = true;
  }
  return {};
}

Result<void> check_added(const Json& list, int64_t limit) {
  if (list.is_null()) return {};
  if (!list.is_array()) return bad("added_tokens is no array");
  for (size_t i = 0; i < list.size(); i++) {
    const Json* id = member(list[i], "id");
    const Json* content = member(list[i], "content");
    if (id == nullptr || !id_of(*id, limit))
      return bad("added_tokens[" + std::to_string(i) + "] has no id that is an integer below " +
                 "vocab_size " + std::to_string(limit));
    if (content == nullptr || !content->is_string())
      return bad("added_tokens[" + std::to_string(i) + "] has no string \"content\"");
  }
  return {};
}

/// Lists in the old text form start with a line that tells their version.
bool is_comment(const Json& merge) {
  const auto* text = merge.get_ptr<const std::string*>();
  return text != nullptr && text->starts_with("#version");
}

/// Both tokens of a merge; false: it is no pair.
bool read_pair(const Json& merge, std::string_view& left, std::string_view& right) {
  if (const auto* text = merge.get_ptr<const std::string*>()) {
    const size_t space = text->find(' ');
    if (space == std::string::npos || text->find(' ', space + 1) != std::string::npos) return false;
    left = std::string_view(*text).substr(0, space);
    right = std::string_view(*text).substr(space + 1);
    return true;
  }
  if (!merge.is_array() || merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string())
    return false;
  left = *merge[0].get_ptr<const std::string*>();
  right = *merge[1].get_ptr<const std::string*>();
  return true;
}

Result<void> check_merges(const Json& merges, const Json& vocabulary) {
  if (!merges.is_array()) return bad("model.merges is no array");
  std::string both;
  for (size_t i = 0; i < merges.size(); i++) {
    const std::string where = "model.merges[" + std::to_string(i) + "]";
    std::string_view left, right;
    if (is_comment(merges[i])) continue;
    if (!read_pair(merges[i], left, right)) return bad(where + " is no pair of tokens");
    both.assign(left).append(right);
    for (const std::string_view token : {left, right, std::string_view(both)})
      if (!vocabulary.contains(token))
        return bad(where + ": " + in_quotes(token) + " is not in model.vocab");
  }
  return {};
}

}  // namespace

Result<void> check_tokenizer(std::string_view text, int64_t vocab_size) {
  auto json = parse_json(text, "tokenizer.json", kTokenizerLimits);
  if (!json) return broken(Rule::model_tokenizer, json.error().message);
  const Json* model = member(*json, "model");
  if (model == nullptr || !model->is_object()) return bad("there is no object \"model\"");
  const Json* vocabulary = member(*model, "vocab");
  const bool listed = vocabulary != nullptr && vocabulary->is_object();
  if (listed)
    if (auto ok = check_vocabulary(*vocabulary, vocab_size); !ok) return ok;
  if (const Json* added = member(*json, "added_tokens"))
    if (auto ok = check_added(*added, vocab_size); !ok) return ok;
  if (const Json* merges = member(*model, "merges"); listed && merges != nullptr)
    return check_merges(*merges, *vocabulary);
  return {};
}

}  // namespace sqf
