// Methods of dicts and lists. Those that change their receiver are refused, as in the sandbox that
// chat templates are written for.

#include <algorithm>

#include "model/jinja/builtin.hpp"

namespace sqf {
namespace {

using Kind = JinjaValue::Kind;
using Value = JinjaValue;
using Args = JinjaArgs;

Value get(JinjaRuntime& rt, const Value& self, Args& args) {
  if (!rt.check_key(args.positional[0])) return {};
  if (const Value* found = rt.find(*self.dict, args.positional[0])) return *found;
  return args.positional[1].is_missing() ? Value::of_none() : args.positional[1];
}

Value keys(JinjaRuntime& rt, const Value& self, Args&) {
  return rt.sequence(Kind::dict_keys, rt.iterate(self));
}

Value values(JinjaRuntime& rt, const Value& self, Args&) {
  std::vector<Value> held;
  for (const auto& [_, value] : self.dict->entries) held.push_back(value);
  return rt.sequence(Kind::dict_values, std::move(held));
}

Value items(JinjaRuntime& rt, const Value& self, Args&) {
  std::vector<Value> pairs;
  for (const auto& [key, value] : self.dict->entries)
    pairs.push_back(rt.sequence(Kind::tuple, {key, value}));
  return rt.sequence(Kind::dict_items, std::move(pairs));
}

Value copy_dict(JinjaRuntime& rt, const Value& self, Args&) {
  return rt.dict(*self.dict);
}

Value copy_list(JinjaRuntime& rt, const Value& self, Args&) {
  return rt.list(rt.iterate(self));
}

Value index(JinjaRuntime& rt, const Value& self, Args& args) {
  const auto& held = self.sequence->items;
  for (size_t i = 0; i < held.size(); ++i)
    if (rt.equal(held[i], args.positional[0])) return Value::of_integer(static_cast<int64_t>(i));
  return rt.fail("value is not in list");
}

Value count(JinjaRuntime& rt, const Value& self, Args& args) {
  const auto& held = self.sequence->items;
  return Value::of_integer(std::count_if(held.begin(), held.end(), [&](const Value& item) {
    return rt.equal(item, args.positional[0]);
  }));
}

constexpr JinjaBuiltin kDict[] = {
    {"copy", copy_dict}, {"get", get, {"key", "default"}, 1}, {"items", items}, {"keys", keys},
    {"values", values},
};
constexpr JinjaBuiltin kTuple[] = {{"count", count, {"value"}, 1}, {"index", index, {"value"}, 1}};
constexpr JinjaBuiltin kList[] = {
    {"copy", copy_list}, {"count", count, {"value"}, 1}, {"index", index, {"value"}, 1}};

}  // namespace

JinjaTable jinja_container_methods(JinjaValue::Kind kind) {
  switch (kind) {
    case Kind::dict:
      return {std::begin(kDict), std::end(kDict)};
    case Kind::list:
      return {std::begin(kList), std::end(kList)};
    case Kind::tuple:
    case Kind::range:
      return {std::begin(kTuple), std::end(kTuple)};
    default:
      return {nullptr, nullptr};
  }
}

bool jinja_is_forbidden_method(const JinjaValue& receiver, std::string_view name) {
  constexpr std::string_view kDict[] = {"clear", "pop", "popitem", "setdefault", "update"};
  constexpr std::string_view kList[] = {"append", "clear",  "extend",  "insert",
                                        "pop",    "remove", "reverse", "sort"};
  if (receiver.is(Kind::dict))
    return std::find(std::begin(kDict), std::end(kDict), name) != std::end(kDict);
  if (receiver.is(Kind::list))
    return std::find(std::begin(kList), std::end(kList), name) != std::end(kList);
  return false;
}

}  // namespace sqf
