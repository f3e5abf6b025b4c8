#include "model/tokenizer_json.hpp"

#include <utility>

#include "format/json_builder.hpp"
#include "format/text.hpp"
#include "model/vocabulary.hpp"

namespace sqf {
namespace {

/// Takes model.vocab and model.merges, which then hold nothing in the tree.
class Reader : public JsonBuilder {
 public:
  Reader() : JsonBuilder("tokenizer.json", kTokenizerLimits) {}

  TokenList tokens;
  MergeList merges;

 private:
  enum class Where : uint8_t { tree, vocab, merges, merge };

  bool number_integer(number_integer_t value) override {
    return where_ == Where::vocab ? add_token(value) : put(value);
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (where_ != Where::vocab) return put(value);
    return add_token(value > kMaxTokenId ? kMaxTokenId + 1 : static_cast<int64_t>(value));
  }
  bool string(string_t& value) override {
    if (where_ == Where::merges) return add_merge(value);
    if (where_ == Where::merge) return add_part(value);
    return put(std::move(value));
  }
  bool key(string_t& name) override {
    key_.swap(name);
    return where_ == Where::vocab || JsonBuilder::key(key_);
  }
  bool start_object(size_t size) override {
    if (where_ != Where::tree) return put(Json::object());
    const bool is_vocab = in_model() && key_ == "vocab";
    const bool is_model = open_.size() == 1 && open_[0]->is_object() && key_ == "model";
    if (!JsonBuilder::start_object(size)) return false;
    if (is_model) model_ = open_.back();
    if (is_vocab) where_ = Where::vocab;
    return true;
  }
  bool start_array(size_t size) override {
    if (where_ == Where::merges) {
      where_ = Where::merge;
      n_parts_ = 0;
      return true;
    }
    if (where_ != Where::tree) return put(Json::array());
    const bool is_merges = in_model() && key_ == "merges";
    if (!JsonBuilder::start_array(size)) return false;
    if (is_merges) where_ = Where::merges;
    return true;
  }
  bool end_object() override {
    where_ = Where::tree;
    return JsonBuilder::end_object();
  }
  bool end_array() override {
    if (where_ != Where::merge) {
      where_ = Where::tree;
      return JsonBuilder::end_array();
    }
    where_ = Where::merges;
    if (n_parts_ != 2) return bad_merge();
    ++n_merges_;
    return true;
  }
  /// model.vocab and model.merges hold no values of the kinds that come here.
  bool put(Json value) override {
    if (where_ == Where::tree) return JsonBuilder::put(std::move(value));
    if (where_ != Where::vocab) return bad_merge();
    return fail("model.vocab: the id of " + in_quotes(key_) + " is " +
                std::string(type_name(value)) + ", not an integer");
  }

  bool bad_merge() {
    return fail("model.merges[" + std::to_string(n_merges_) + "] is no pair of tokens");
  }
  bool in_model() const { return open_.size() == 2 && open_.back() == model_; }
  bool add_token(int64_t id) {
    if (id < 0 || id > kMaxTokenId)
      return fail("model.vocab: the id of " + in_quotes(key_) + " is not in 0.." +
                  std::to_string(kMaxTokenId));
    if (tokens.block.size() + key_.size() > UINT32_MAX) return fail("model.vocab is too long");
    tokens.block += key_;
    tokens.ends.push_back(static_cast<uint32_t>(tokens.block.size()));
    tokens.ids.push_back(static_cast<uint32_t>(id));
    return true;
  }
  bool add_merge(std::string_view pair) {
    if (pair.starts_with("#version")) {  // a heading of merges.txt
      ++n_merges_;
      return true;
    }
    const size_t space = pair.find(' ');
    if (space == std::string_view::npos) return bad_merge();
    if (pair.find(' ', space + 1) != std::string_view::npos) return bad_merge();
    n_parts_ = 0;
    if (!add_part(pair.substr(0, space)) || !add_part(pair.substr(space + 1))) return false;
    ++n_merges_;
    return true;
  }
  bool add_part(std::string_view token) {
    if (++n_parts_ > 2) return bad_merge();
    if (merges.block.size() + token.size() > UINT32_MAX) return fail("model.merges is too long");
    merges.block += token;
    merges.ends.push_back(static_cast<uint32_t>(merges.block.size()));
    return true;
  }

  Json* model_ = nullptr;  ///< the root's "model", once it is open
  std::string key_;        ///< the last key
  Where where_ = Where::tree;
  size_t n_merges_ = 0;  ///< entries of model.merges read so far
  int n_parts_ = 0;      ///< of the merge being read
};

}  // namespace

Result<TokenizerJson> read_tokenizer_json(std::string_view text) {
  Reader reader;
  if (auto done = reader.read(text); !done) return done.error();
  return TokenizerJson{std::move(reader.root), std::move(reader.tokens), std::move(reader.merges)};
}

Result<Json> read_tokenizer_rest(std::string_view text) {
  auto json = read_tokenizer_json(text);
  if (!json) return json.error();
  if (json->tokens.size() + json->merges.size() > 0)
    return malformed("tokenizer.json: model.vocab and model.merges are not empty beside tables");
  return std::move(json->tree);
}

Result<Field> bpe_model(const Field& root) {
  if (!root->is_object()) return wrong_type(root, "an object");
  auto model = object_at(root, "model");
  if (!model) return model;
  // Files from before the type was written down are recognised by their merges.
  auto type = string_at(*model, "type", model->find("merges") ? "BPE" : "(none)");
  if (!type) return type.error();
  if (*type != "BPE") return unknown_component(*model, *type);
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    auto affix = string_at(*model, key, "");
    if (!affix) return affix.error();
    if (!affix->empty())
      return unsupported("tokenizer.json: model." + std::string(key) + " " + in_quotes(*affix) +
                         " is not implemented");
  }
  if (auto vocab = object_at(*model, "vocab"); !vocab) return vocab;
  if (auto merges = array_at(*model, "merges"); !merges) return merges;
  return model;
}

}  // namespace sqf
