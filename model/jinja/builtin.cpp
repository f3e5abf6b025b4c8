#include "model/jinja/builtin.hpp"

#include <algorithm>

namespace sqf {
namespace {

using Kind = JinjaValue::Kind;

const JinjaBuiltin* find_in(const JinjaTable& table, std::string_view name) {
  for (const JinjaBuiltin* entry = table.begin; entry != table.end; ++entry)
    if (entry->name == name) return entry;
  return nullptr;
}

size_t param_count(const JinjaBuiltin& builtin) {
  return static_cast<size_t>(std::count_if(builtin.params.begin(), builtin.params.end(),
                                           [](std::string_view name) { return !name.empty(); }));
}

/// Puts every argument at the place of its parameter.
void bind(JinjaRuntime& rt, const JinjaBuiltin& builtin, JinjaArgs& args) {
  const size_t count = param_count(builtin);
  const std::string name(builtin.name);
  if (args.positional.size() > count) {
    rt.fail(name + "() takes at most " + std::to_string(count) + " arguments");
    return;
  }
  const size_t given = args.positional.size();
  JinjaValue missing;
  missing.kind = Kind::missing;
  args.positional.resize(count, missing);
  for (auto& [key, value] : args.named) {
    const auto at = static_cast<size_t>(
        std::find(builtin.params.begin(),
                  builtin.params.begin() + static_cast<std::ptrdiff_t>(count), key) -
        builtin.params.begin());
    if (at == count) {
      rt.fail(name + "() got an unexpected keyword argument '" + key + "'");
      return;
    }
    if (at < given) {
      rt.fail(name + "() got multiple values for argument '" + key + "'");
      return;
    }
    args.positional[at] = value;
  }
  args.named.clear();
  for (size_t i = 0; i < static_cast<size_t>(builtin.required); ++i)
    if (args.positional[i].is_missing())
      rt.fail(name + "() missing 1 required argument: '" + std::string(builtin.params[i]) + "'");
}

size_t text_bytes(const JinjaValue& value) {
  return value.is_text() ? value.text->bytes.size() : 0;
}

}  // namespace

const JinjaBuiltin* jinja_find_filter(std::string_view name) {
  const JinjaBuiltin* found = find_in(jinja_text_filters(), name);
  return found ? found : find_in(jinja_sequence_filters(), name);
}

const JinjaBuiltin* jinja_find_test(std::string_view name) {
  return find_in(jinja_tests(), name);
}

const JinjaBuiltin* jinja_find_function(std::string_view name) {
  return find_in(jinja_functions(), name);
}

const JinjaBuiltin* jinja_find_method(const JinjaValue& receiver, std::string_view name) {
  if (receiver.is_text()) return find_in(jinja_text_methods(), name);
  return find_in(jinja_container_methods(receiver.kind), name);
}

bool jinja_is_known_filter(std::string_view name) {
  constexpr std::string_view kLeftOut[] = {"filesizeformat", "forceescape", "groupby",  "pprint",
                                           "random",         "striptags",   "truncate", "urlencode",
                                           "urlize",         "wordwrap",    "xmlattr"};
  return std::find(std::begin(kLeftOut), std::end(kLeftOut), name) != std::end(kLeftOut);
}

JinjaValue jinja_call(JinjaRuntime& rt, const JinjaBuiltin& builtin, const JinjaValue& self,
                      JinjaArgs args) {
  size_t bytes = text_bytes(self);
  for (const JinjaValue& value : args.positional) bytes += text_bytes(value);
  for (const auto& [_, value] : args.named) bytes += text_bytes(value);
  if (!rt.charge(16 + bytes)) return {};
  if (!builtin.variadic) bind(rt, builtin, args);
  if (rt.failed()) return {};
  JinjaValue result = builtin.run(rt, self, args);
  return rt.failed() ? JinjaValue{} : result;
}

}  // namespace sqf
