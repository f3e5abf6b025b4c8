#include "model/json_fields.hpp"

#include <algorithm>
#include <limits>

#include "format/text.hpp"

namespace sqf {
namespace {

constexpr std::string_view kFile = "tokenizer.json: ";

/// Keys that are no plain words come from the file and are quoted.
std::string path_of(const Field& parent, std::string_view key) {
  const bool plain = key.size() <= 40 && std::all_of(key.begin(), key.end(),
                                                     [](char c) { return c > 0x20 && c < 0x7f; });
  const std::string shown = plain ? std::string(key) : in_quotes(key);
  return parent.path.empty() ? shown : parent.path + "." + shown;
}

}  // namespace

std::string_view type_name(const Json& json) {
  if (json.is_null()) return "null";
  if (json.is_boolean()) return "a boolean";
  if (json.is_number_integer()) return "an integer";
  if (json.is_number()) return "a number";
  if (json.is_string()) return "a string";
  if (json.is_array()) return "an array";
  return "an object";
}

Field Field::find(std::string_view key) const {
  if (json == nullptr || !json->is_object()) return {};
  const auto member = json->find(key);
  if (member == json->end() || member->is_null()) return {};
  return {&*member, path_of(*this, key)};
}

Field Field::at(size_t index) const {
  return {&(*json)[index], path + "[" + std::to_string(index) + "]"};
}

Error wrong_type(const Field& field, std::string_view expected) {
  return malformed(std::string(kFile) + (field.path.empty() ? "the file" : field.path) + " is " +
                   std::string(type_name(*field.json)) + ", not " + std::string(expected));
}

Error missing(const Field& object, std::string_view key) {
  return malformed(std::string(kFile) + path_of(object, key) + " is missing");
}

Result<Field> object_at(const Field& object, std::string_view key) {
  Field field = object.find(key);
  if (!field) return missing(object, key);
  if (!field->is_object()) return wrong_type(field, "an object");
  return field;
}

Result<Field> array_at(const Field& object, std::string_view key) {
  Field field = object.find(key);
  if (!field) return missing(object, key);
  if (!field->is_array()) return wrong_type(field, "an array");
  return field;
}

Result<std::string> string_at(const Field& object, std::string_view key) {
  const Field field = object.find(key);
  if (!field) return missing(object, key);
  if (!field->is_string()) return wrong_type(field, "a string");
  return *field->get_ptr<const std::string*>();
}

Result<std::string> string_at(const Field& object, std::string_view key,
                              std::string_view otherwise) {
  if (!object.find(key)) return std::string(otherwise);
  return string_at(object, key);
}

Result<int64_t> integer_at(const Field& object, std::string_view key) {
  const Field field = object.find(key);
  if (!field) return missing(object, key);
  // A number too large for int64 is kept as unsigned by the parser; as any id it is out of range.
  if (const auto* value = field->get_ptr<const Json::number_unsigned_t*>())
    return *value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())
               ? std::numeric_limits<int64_t>::max()
               : static_cast<int64_t>(*value);
  if (const auto* value = field->get_ptr<const Json::number_integer_t*>()) return *value;
  return wrong_type(field, "an integer");
}

Result<bool> bool_at(const Field& object, std::string_view key, bool otherwise) {
  const Field field = object.find(key);
  if (!field) return otherwise;
  if (const auto* value = field->get_ptr<const bool*>()) return *value;
  return wrong_type(field, "a boolean");
}

Result<std::string> component_type(const Field& component) {
  if (!component->is_object()) return wrong_type(component, "an object");
  return string_at(component, "type");
}

Error unknown_component(const Field& component, std::string_view type) {
  return unsupported(std::string(kFile) + component.path + " of type " + in_quotes(type) +
                     " is not implemented");
}

}  // namespace sqf
