#pragma once
// Values as text: as Python's str and repr print them, and as JSON. Marks of strings inside
// survive.

#include <string>

#include "model/jinja/value.hpp"

namespace sqf {

struct JinjaJsonStyle {
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  std::string indent;  ///< one level of it
  bool pretty = false;
  bool ascii_only = false;
  bool sort_keys = false;
};

/// Shortest digits that read back the same; 1e+16 and beyond and below 1e-4 with an exponent.
std::string jinja_format_float(double value);

void jinja_print(JinjaRuntime& rt, JinjaTextBuilder& out, const JinjaValue& value);
void jinja_print_repr(JinjaRuntime& rt, JinjaTextBuilder& out, const JinjaValue& value);
void jinja_print_json(JinjaRuntime& rt, JinjaTextBuilder& out, const JinjaValue& value,
                      const JinjaJsonStyle& style);

/// str(value); shares the text where the value is one.
JinjaTextPtr jinja_str(JinjaRuntime& rt, const JinjaValue& value);

}  // namespace sqf
