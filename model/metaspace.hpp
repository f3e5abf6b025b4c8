#pragma once
// The component Metaspace of tokenizer.json, the same as pre-tokenizer and as decoder: a character
// that stands for a space.

#include <cstdint>
#include <string>

#include "model/json_fields.hpp"

namespace sqf {

enum class PrependScheme : uint8_t { first, always, never };

struct Metaspace {
  std::string replacement;  ///< one character
  PrependScheme prepend = PrependScheme::always;
  bool split = true;
};

/// Errors: malformed, a field of the wrong type or a value that does not exist.
Result<Metaspace> read_metaspace(const Field& component);

}  // namespace sqf
