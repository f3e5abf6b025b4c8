#pragma once
// Typed reading of JSON objects from outside: every accessor checks the type and names the key
// path in its error. None of nlohmann's throwing accessors is needed beside these.

#include <cstdint>
#include <string>
#include <string_view>

#include "format/json.hpp"
#include "format/result.hpp"

namespace sqf {

/// A JSON value and the path by which it was reached ("model.vocab").
struct Field {
  const Json* json = nullptr;
  std::string path;

  const Json* operator->() const { return json; }
  /// The member `key` of an object; a null Field if there is none or it is JSON null.
  Field find(std::string_view key) const;
  Field at(size_t index) const;  ///< Precondition: an array with that many elements.
  explicit operator bool() const { return json != nullptr; }
};

/// What a value is, with its article: "an array".
std::string_view type_name(const Json& json);

/// malformed: "tokenizer.json: model.vocab is a string, not an object"
Error wrong_type(const Field& field, std::string_view expected);

/// malformed: "tokenizer.json: model.vocab is missing"
Error missing(const Field& object, std::string_view key);

Result<Field> object_at(const Field& object, std::string_view key);
Result<Field> array_at(const Field& object, std::string_view key);
Result<std::string> string_at(const Field& object, std::string_view key);
Result<int64_t> integer_at(const Field& object, std::string_view key);

/// `otherwise` where the key is absent or null.
Result<bool> bool_at(const Field& object, std::string_view key, bool otherwise);
Result<std::string> string_at(const Field& object, std::string_view key,
                              std::string_view otherwise);

/// The member "type" of a pipeline component. Errors: not an object, no such string.
Result<std::string> component_type(const Field& component);

/// unsupported: "tokenizer.json: normalizer of type \"Nmt\" is not implemented"
Error unknown_component(const Field& component, std::string_view type);

}  // namespace sqf
