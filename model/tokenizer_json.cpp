#include "model/tokenizer_json.hpp"

#include <optional>
#include <utility>

namespace sqf {
namespace {

constexpr size_t kMaxDepth = 64;

class Reader : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return put(nullptr, "null"); }
  bool boolean(bool value) override { return put(value, "a boolean"); }
  bool number_float(number_float_t value, const string_t&) override {
    return put(value, "a number");
  }
  bool binary(binary_t&) override { return fail("binary value"); }
  bool number_integer(number_integer_t value) override {
    return where_ == Where::vocab ? add_token(value) : put(value, "an integer");
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (where_ != Where::vocab) return put(value, "an integer");
    return add_token(value > kMaxTokenId ? kMaxTokenId + 1 : static_cast<int64_t>(value));
  }
  bool string(string_t& value) override {
    if (where_ == Where::merges) return add_merge(value);
    if (where_ == Where::merge) return add_part(value);
    return put(std::move(value), "a string");
  }
  bool key(string_t& name) override {
    key_.swap(name);
    if (where_ == Where::vocab) return true;
    Json& object = *open_.back();
    if (object.contains(key_)) return fail("duplicate key \"" + key_ + "\"");
    slot_ = &object[key_];
    return true;
  }
  bool start_object(size_t) override {
    if (where_ != Where::tree) return put(nullptr, "an object");
    const bool is_vocab = in_model() && key_ == "vocab";
    const bool is_model = open_.size() == 1 && open_[0]->is_object() && key_ == "model";
    if (!open(Json::object())) return false;
    if (is_model) model_ = open_.back();
    if (is_vocab) where_ = Where::vocab;
    return true;
  }
  bool start_array(size_t) override {
    if (where_ == Where::merges) {
      where_ = Where::merge;
      n_parts_ = 0;
      return true;
    }
    if (where_ != Where::tree) return put(nullptr, "an array");
    const bool is_merges = in_model() && key_ == "merges";
    if (!open(Json::array())) return false;
    if (is_merges) where_ = Where::merges;
    return true;
  }
  bool end_object() override { return close(); }
  bool end_array() override {
    if (where_ != Where::merge) return close();
    where_ = Where::merges;
    if (n_parts_ != 2) return bad_merge();
    ++n_merges_;
    return true;
  }
  bool parse_error(size_t position, const std::string& token,
                   const nlohmann::detail::exception& reason) override {
    constexpr int kNumberOverflow = 406;
    if (reason.id == kNumberOverflow) return fail("number \"" + token + "\" is out of range");
    return fail("not valid JSON at byte " + std::to_string(position) + " near \"" +
                token.substr(0, 40) + "\"");
  }

  TokenizerJson result;
  std::optional<Error> problem;

 private:
  enum class Where : uint8_t { tree, vocab, merges, merge };

  bool fail(const std::string& why) {
    if (!problem) problem = malformed("tokenizer.json: " + why);
    return false;
  }
  bool bad_merge() {
    return fail("model.merges[" + std::to_string(n_merges_) + "] is no pair of tokens");
  }
  /// Into the tree; model.vocab and model.merges hold no values of the kinds that come here.
  bool put(Json value, std::string_view kind) {
    if (where_ == Where::vocab)
      return fail("model.vocab." + key_ + " is " + std::string(kind) + ", not an integer");
    if (where_ != Where::tree) return bad_merge();
    place(std::move(value));
    return true;
  }
  bool in_model() const { return open_.size() == 2 && open_.back() == model_; }
  bool add_token(int64_t id) {
    if (auto added = result.vocabulary.add(key_, id); !added)
      return fail("model.vocab: " + added.error().message);
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
    MergeList& merges = result.merges;
    if (++n_parts_ > 2) return bad_merge();
    if (merges.block.size() + token.size() > UINT32_MAX) return fail("model.merges is too long");
    merges.block += token;
    merges.ends.push_back(static_cast<uint32_t>(merges.block.size()));
    return true;
  }
  Json* place(Json value) {
    if (open_.empty()) {
      result.tree = std::move(value);
      return &result.tree;
    }
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(value));
      return &open_.back()->back();
    }
    *slot_ = std::move(value);
    return slot_;
  }
  bool open(Json empty) {
    if (open_.size() == kMaxDepth) return fail("nesting deeper than " + std::to_string(kMaxDepth));
    open_.push_back(place(std::move(empty)));
    return true;
  }
  bool close() {
    where_ = Where::tree;
    open_.pop_back();
    return true;
  }

  std::vector<Json*> open_;  ///< containers being filled, outermost first
  Json* slot_ = nullptr;     ///< where the value of the last key goes
  Json* model_ = nullptr;    ///< the root's "model", once it is open
  std::string key_;          ///< the last key
  Where where_ = Where::tree;
  size_t n_merges_ = 0;  ///< entries of model.merges read so far
  int n_parts_ = 0;      ///< of the merge being read
};

}  // namespace

Result<TokenizerJson> read_tokenizer_json(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF"))
    return malformed("tokenizer.json: starts with a byte order mark");
  Reader reader;
  const bool done = Json::sax_parse(text.data(), text.data() + text.size(), &reader);
  if (reader.problem) return *reader.problem;
  if (!done) return malformed("tokenizer.json: not valid JSON");
  return std::move(reader.result);
}

}  // namespace sqf
