#include "format/json.hpp"

#include <vector>

namespace sqf {
namespace {

/// Builds the tree and refuses what the header lists. The parser itself is iterative, so depth
/// costs no stack.
class StrictBuilder : public nlohmann::json_sax<Json> {
 public:
  explicit StrictBuilder(int max_depth) : max_depth_(max_depth) {}

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return fail("binary value"); }
  bool start_object(size_t) override { return open(Json::object()); }
  bool key(string_t& name) override {
    Json& object = *open_.back();
    if (object.contains(name)) return fail("duplicate key \"" + name + "\"");
    slot_ = &object[std::move(name)];
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }
  bool parse_error(size_t position, const std::string& token,
                   const nlohmann::detail::exception& reason) override {
    constexpr int kNumberOverflow = 406;
    if (reason.id == kNumberOverflow) return fail("number \"" + token + "\" is out of range");
    return fail("not valid JSON at byte " + std::to_string(position) + " near \"" +
                token.substr(0, 40) + "\"");
  }

  Json root;
  std::string problem;

 private:
  bool fail(std::string why) {
    if (problem.empty()) problem = std::move(why);
    return false;
  }
  Json* place(Json value) {
    if (open_.empty()) {
      root = std::move(value);
      return &root;
    }
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(value));
      return &open_.back()->back();
    }
    *slot_ = std::move(value);
    return slot_;
  }
  bool put(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json empty) {
    if (static_cast<int>(open_.size()) == max_depth_)
      return fail("nesting deeper than " + std::to_string(max_depth_));
    open_.push_back(place(std::move(empty)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  int max_depth_;
  std::vector<Json*> open_;  ///< containers being filled, outermost first; never reallocated under
                             ///< a child, since only the innermost one grows
  Json* slot_ = nullptr;
};

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view what, int max_depth) {
  if (text.starts_with("\xEF\xBB\xBF"))
    return malformed(std::string(what) + ": starts with a byte order mark");
  StrictBuilder builder(max_depth);
  const bool done = Json::sax_parse(text.begin(), text.end(), &builder);
  if (!done || !builder.problem.empty())
    return malformed(std::string(what) + ": " +
                     (builder.problem.empty() ? "not valid JSON" : builder.problem));
  return std::move(builder.root);
}

}  // namespace sqf
