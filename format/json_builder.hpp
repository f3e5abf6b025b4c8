#pragma once
// The strict reader behind parse_json, for readers that keep part of a text out of the tree: they
// override what they take and leave the rest, and every refusal, to this class.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/json.hpp"

namespace sqf {

/// Builds the tree and refuses what json.hpp lists. The parser itself is iterative, so depth costs
/// no stack.
class JsonBuilder : public nlohmann::json_sax<Json> {
 public:
  /// As parse_json.
  JsonBuilder(std::string_view what, JsonLimits limits) : what_(what), limits_(limits) {}

  /// Reads `text`; to be called once.
  Result<void> read(std::string_view text);

  Json root;

 protected:
  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return fail("binary value"); }
  bool key(string_t& name) override;
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(size_t position, const std::string& token,
                   const nlohmann::detail::exception& reason) override;

  /// A value that is no container, to where it belongs.
  virtual bool put(Json value);
  bool fail(const std::string& why);

  std::vector<Json*> open_;  ///< containers being filled, outermost first; never reallocated under
                             ///< a child, since only the innermost one grows

 private:
  bool open(Json empty);
  bool close();
  Json* place(Json value);  ///< null: one value too many

  std::string what_;
  JsonLimits limits_;
  size_t values_ = 0;
  std::optional<Error> problem_;
  Json* slot_ = nullptr;  ///< where the value of the last key goes
};

}  // namespace sqf
