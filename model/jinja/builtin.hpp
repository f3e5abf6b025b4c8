#pragma once
// Filters, tests, methods and functions of the template language: fixed tables of names, parameters
// and code. What is not in a table cannot be reached from a template.

#include <array>
#include <string_view>

#include "model/jinja/value.hpp"

namespace sqf {

/// `run` gets its receiver (for a function: none) and the arguments. Unless `variadic`, these are
/// bound first: `positional` then has one entry per parameter, Kind::missing where none was given,
/// and `named` is empty.
struct JinjaBuiltin {
  std::string_view name;
  JinjaValue (*run)(JinjaRuntime& rt, const JinjaValue& self, JinjaArgs& args);
  std::array<std::string_view, 5> params{};
  int required = 0;
  bool variadic = false;
};

/// nullptr where there is none of that name.
const JinjaBuiltin* jinja_find_filter(std::string_view name);
const JinjaBuiltin* jinja_find_test(std::string_view name);
const JinjaBuiltin* jinja_find_function(std::string_view name);
const JinjaBuiltin* jinja_find_method(const JinjaValue& receiver, std::string_view name);
/// Names the reference implementation knows and this one leaves out.
bool jinja_is_known_filter(std::string_view name);
/// Methods the sandbox of the reference implementation forbids, because they change their receiver.
bool jinja_is_forbidden_method(const JinjaValue& receiver, std::string_view name);

/// Binds the arguments and runs. Pays for every string handed in.
JinjaValue jinja_call(JinjaRuntime& rt, const JinjaBuiltin& builtin, const JinjaValue& self,
                      JinjaArgs args);

/// value.name, value[key] and value[start:stop:step] (absent bounds are Kind::missing).
JinjaValue jinja_attribute(JinjaRuntime& rt, const JinjaValue& value, std::string_view name);
JinjaValue jinja_item(JinjaRuntime& rt, const JinjaValue& value, const JinjaValue& key);
JinjaValue jinja_slice(JinjaRuntime& rt, const JinjaValue& value,
                       const std::array<JinjaValue, 3>& bounds);
/// Follows a dotted path ("function.name", "0.text") given as a string or an index.
JinjaValue jinja_path(JinjaRuntime& rt, JinjaValue value, const JinjaValue& path);

/// Arithmetic on two values; `op` is one of + - * / // % **.
JinjaValue jinja_arithmetic(JinjaRuntime& rt, std::string_view op, const JinjaValue& a,
                            const JinjaValue& b);
JinjaValue jinja_negate(JinjaRuntime& rt, const JinjaValue& value);
/// printf-style formatting: %s %r %d %i %f %e %g %x %X %o %c %% with flags, width and precision.
JinjaValue jinja_format_percent(JinjaRuntime& rt, const JinjaText& format,
                                const std::vector<JinjaValue>& args);
/// `&`, `<`, `>` and quotes as HTML entities; a string that is markup already stays as it is.
JinjaText jinja_escape(JinjaRuntime& rt, const JinjaText& text);

/// Reads an argument that must be a whole number; `fallback` where it was not given.
int64_t jinja_integer_arg(JinjaRuntime& rt, const JinjaValue& value, int64_t fallback);

/// The tables, one per source file.
struct JinjaTable {
  const JinjaBuiltin* begin;
  const JinjaBuiltin* end;
};
JinjaTable jinja_text_filters();
JinjaTable jinja_sequence_filters();
JinjaTable jinja_tests();
JinjaTable jinja_functions();
JinjaTable jinja_text_methods();
JinjaTable jinja_container_methods(JinjaValue::Kind kind);

}  // namespace sqf
