// Filters over sequences and dicts. Those that are generators in the reference implementation give
// an iterator here too: it is true even when empty, has no length and can be read once.

#include <algorithm>
#include <cmath>

#include "model/jinja/builtin.hpp"
#include "model/jinja/print.hpp"
#include "model/jinja/text_ops.hpp"

namespace sqf {
namespace {

using Kind = JinjaValue::Kind;
using Value = JinjaValue;
using Args = JinjaArgs;

Value iterator(JinjaRuntime& rt, std::vector<Value> items) {
  return rt.sequence(Kind::iterator, std::move(items));
}

Value lowered(JinjaRuntime& rt, const Value& value) {
  return value.is_text() ? jinja_change_case(rt, *value.text, JinjaCase::lower) : value;
}

/// Stable sort of indices by key. Keys must all have an order among each other, which is checked
/// first, because a comparison that fails half way would leave the sort without one.
std::vector<size_t> sorted_order(JinjaRuntime& rt, const std::vector<Value>& keys, bool reverse) {
  std::vector<size_t> order;
  for (size_t i = 0; i < keys.size() && !rt.failed(); ++i) {
    order.push_back(i);
    if (i > 0) rt.less(keys[i - 1], keys[i]);
    if (keys[i].is(Kind::floating) && std::isnan(keys[i].floating)) rt.fail("cannot sort nan");
  }
  if (rt.failed()) return {};
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (rt.failed()) return false;
    return reverse ? rt.less(keys[b], keys[a]) : rt.less(keys[a], keys[b]);
  });
  return order;
}

Value default_value(JinjaRuntime& rt, const Value& self, Args& args) {
  const bool replace = self.is_undefined() || (rt.truthy(args.positional[1]) && !rt.truthy(self));
  if (!replace) return self;
  return args.positional[0].is_missing() ? rt.text(std::string()) : args.positional[0];
}

Value length(JinjaRuntime& rt, const Value& self, Args&) {
  return Value::of_integer(rt.length(self));
}

Value first(JinjaRuntime& rt, const Value& self, Args&) {
  if (self.is(Kind::iterator)) {  // takes only the one
    auto& items = self.sequence->items;
    if (items.empty()) return rt.undefined("No first item, sequence was empty.");
    Value item = items.front();
    if (rt.charge(items.size() * sizeof(Value))) items.erase(items.begin());
    return item;
  }
  if (self.is_text() && !self.text->bytes.empty())
    return jinja_item(rt, self, Value::of_integer(0));
  const std::vector<Value> items = rt.iterate(self);
  return items.empty() ? rt.undefined("No first item, sequence was empty.") : items.front();
}

Value last(JinjaRuntime& rt, const Value& self, Args&) {
  if (self.is(Kind::iterator) || self.is(Kind::space))
    return rt.fail(jinja_quoted(jinja_type_name(self)) + " object is not reversible");
  if (self.is_text() && !self.text->bytes.empty())
    return jinja_item(rt, self, Value::of_integer(-1));
  const std::vector<Value> items = rt.iterate(self);
  return items.empty() ? rt.undefined("No last item, sequence was empty.") : items.back();
}

Value join(JinjaRuntime& rt, const Value& self, Args& args) {
  std::vector<Value> items = rt.iterate(self);
  if (args.positional[1].is_given())
    for (Value& item : items) item = jinja_path(rt, item, args.positional[1]);
  const Value separator =
      args.positional[0].is_missing() ? rt.text(std::string()) : args.positional[0];
  if (rt.failed()) return {};
  return jinja_join(rt, *jinja_str(rt, separator), items);
}

Value list(JinjaRuntime& rt, const Value& self, Args&) {
  return rt.list(rt.iterate(self));
}

Value reverse(JinjaRuntime& rt, const Value& self, Args&) {
  if (self.is_text())
    return jinja_slice(rt, self, {Value::of_none(), Value::of_none(), Value::of_integer(-1)});
  std::vector<Value> items = rt.iterate(self);
  std::reverse(items.begin(), items.end());
  return iterator(rt, std::move(items));
}

Value items(JinjaRuntime& rt, const Value& self, Args&) {
  if (self.is_undefined()) return iterator(rt, {});
  if (!self.is(Kind::dict)) return rt.fail("Can only get item pairs from a mapping.");
  std::vector<Value> pairs;
  for (const auto& [key, value] : self.dict->entries)
    pairs.push_back(rt.sequence(Kind::tuple, {key, value}));
  return iterator(rt, std::move(pairs));
}

Value dict_sort(JinjaRuntime& rt, const Value& self, Args& args) {
  if (!self.is(Kind::dict))
    return rt.fail(self.is_undefined() && self.text ? self.text->bytes
                                                    : "dictsort needs a mapping");
  const std::string by =
      args.positional[1].is_missing() ? "key" : jinja_str(rt, args.positional[1])->bytes;
  if (by != "key" && by != "value")
    return rt.fail("You can only sort by either \"key\" or \"value\"");
  const auto& entries = self.dict->entries;
  std::vector<Value> keys, sorted;
  for (const auto& [key, value] : entries) {
    const Value& chosen = by == "key" ? key : value;
    keys.push_back(rt.truthy(args.positional[0]) ? chosen : lowered(rt, chosen));
  }
  for (const size_t i : sorted_order(rt, keys, rt.truthy(args.positional[2])))
    sorted.push_back(rt.sequence(Kind::tuple, {entries[i].first, entries[i].second}));
  return rt.list(std::move(sorted));
}

/// `attribute`: one path or several with commas between them.
Value sort_key(JinjaRuntime& rt, const Value& item, const Value& attribute, bool case_sensitive) {
  std::vector<Value> parts;
  if (!attribute.is_given()) {
    parts.push_back(item);
  } else if (!attribute.is_text()) {
    parts.push_back(jinja_path(rt, item, attribute));
  } else {
    const JinjaText comma(",");
    for (const Value& path : jinja_split(rt, *attribute.text, &comma, -1, false))
      parts.push_back(jinja_path(rt, item, path));
  }
  if (!case_sensitive)
    for (Value& part : parts) part = lowered(rt, part);
  return rt.list(std::move(parts));
}

Value sort(JinjaRuntime& rt, const Value& self, Args& args) {
  const std::vector<Value> items = rt.iterate(self);
  std::vector<Value> keys, sorted;
  for (const Value& item : items) {
    keys.push_back(sort_key(rt, item, args.positional[2], rt.truthy(args.positional[1])));
    if (rt.failed()) return {};
  }
  for (const size_t i : sorted_order(rt, keys, rt.truthy(args.positional[0])))
    sorted.push_back(items[i]);
  return rt.list(std::move(sorted));
}

Value plain_key(JinjaRuntime& rt, const Value& item, const Value& case_sensitive,
                const Value& attribute) {
  const Value value = attribute.is_given() ? jinja_path(rt, item, attribute) : item;
  return rt.truthy(case_sensitive) ? value : lowered(rt, value);
}

Value unique(JinjaRuntime& rt, const Value& self, Args& args) {
  std::vector<Value> seen, kept;
  for (const Value& item : rt.iterate(self)) {
    const Value key = plain_key(rt, item, args.positional[0], args.positional[1]);
    if (!rt.check_key(key)) return {};
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& s) { return rt.equal(s, key); }))
      continue;
    if (rt.failed()) return {};
    seen.push_back(key);
    kept.push_back(item);
  }
  return iterator(rt, std::move(kept));
}

template <bool Largest>
Value extreme(JinjaRuntime& rt, const Value& self, Args& args) {
  Value best, best_key;
  bool any = false;
  for (const Value& item : rt.iterate(self)) {
    const Value key = plain_key(rt, item, args.positional[0], args.positional[1]);
    const bool better = any && (Largest ? rt.less(best_key, key) : rt.less(key, best_key));
    if (rt.failed()) return {};
    if (any && !better) continue;
    best = item;
    best_key = key;
    any = true;
  }
  return any ? best : rt.undefined("No aggregated item, sequence was empty.");
}

Value sum(JinjaRuntime& rt, const Value& self, Args& args) {
  Value total = args.positional[1].is_missing() ? Value::of_integer(0) : args.positional[1];
  for (const Value& item : rt.iterate(self)) {
    total = jinja_arithmetic(
        rt, "+", total,
        args.positional[0].is_given() ? jinja_path(rt, item, args.positional[0]) : item);
    if (rt.failed()) return {};
  }
  return total;
}

Value batch(JinjaRuntime& rt, const Value& self, Args& args) {
  const auto size = static_cast<size_t>(
      std::clamp<int64_t>(jinja_integer_arg(rt, args.positional[0], 1), 1, 100000));
  std::vector<Value> batches, row;
  const auto flush = [&] { batches.push_back(rt.list(std::exchange(row, {}))); };
  for (const Value& item : rt.iterate(self)) {
    if (row.size() == size) flush();
    row.push_back(item);
  }
  if (!row.empty()) {
    if (args.positional[1].is_given() && rt.charge(size * sizeof(Value)))
      row.resize(std::max(size, row.size()), args.positional[1]);
    flush();
  }
  return iterator(rt, std::move(batches));
}

Value slice(JinjaRuntime& rt, const Value& self, Args& args) {
  const std::vector<Value> all = rt.iterate(self);
  const int64_t wanted = jinja_integer_arg(rt, args.positional[0], 1);
  if (wanted <= 0 || wanted > 100000) return rt.fail("slice needs between 1 and 100000 slices");
  const auto slices = static_cast<size_t>(wanted);
  std::vector<Value> columns;
  size_t begin = 0;
  for (size_t i = 0; i < slices && !rt.failed(); ++i) {
    const bool extra = i < all.size() % slices;
    const size_t end = begin + all.size() / slices + (extra ? 1 : 0);
    std::vector<Value> column(all.begin() + static_cast<std::ptrdiff_t>(begin),
                              all.begin() + static_cast<std::ptrdiff_t>(end));
    if (args.positional[1].is_given() && !extra) column.push_back(args.positional[1]);
    columns.push_back(rt.list(std::move(column)));
    begin = end;
  }
  return iterator(rt, std::move(columns));
}

const Value* named(const Args& args, std::string_view name) {
  for (const auto& [key, value] : args.named)
    if (key == name) return &value;
  return nullptr;
}

/// map('filter', args...) or map(attribute='path', default=value).
Value map(JinjaRuntime& rt, const Value& self, Args& args) {
  if (!rt.truthy(self)) return iterator(rt, {});  // even if it is none
  std::vector<Value> results;
  const Value* attribute = named(args, "attribute");
  const Value* fallback = named(args, "default");
  const JinjaBuiltin* filter = nullptr;
  if (!args.positional.empty()) {
    const std::string name = jinja_str(rt, args.positional[0])->bytes;
    filter = jinja_find_filter(name);
    if (!filter) return rt.fail("No filter named '" + name.substr(0, 64) + "'.");
    args.positional.erase(args.positional.begin());
  } else if (!attribute) {
    return rt.fail("map requires a filter argument");
  }
  for (const Value& item : rt.iterate(self)) {
    if (rt.failed()) return {};
    Value result = filter ? jinja_call(rt, *filter, item, args) : jinja_path(rt, item, *attribute);
    if (!filter && fallback && fallback->is_given() && result.is_undefined()) result = *fallback;
    results.push_back(std::move(result));
  }
  return iterator(rt, std::move(results));
}

/// select('test', args...) and selectattr('path', 'test', args...); no test asks for truth.
template <bool Keep, bool ByAttribute>
Value choose(JinjaRuntime& rt, const Value& self, Args& args) {
  if (!rt.truthy(self)) return iterator(rt, {});
  std::vector<Value> kept;
  Value path;
  const JinjaBuiltin* test = nullptr;
  if (ByAttribute) {
    if (args.positional.empty()) return rt.fail("Missing parameter for attribute name");
    path = args.positional[0];
    args.positional.erase(args.positional.begin());
  }
  if (!args.positional.empty()) {
    const std::string name = jinja_str(rt, args.positional[0])->bytes;
    test = jinja_find_test(name);
    if (!test) return rt.fail("No test named '" + name.substr(0, 64) + "'.");
    args.positional.erase(args.positional.begin());
  }
  for (const Value& item : rt.iterate(self)) {
    if (rt.failed()) return {};
    const Value looked_at = ByAttribute ? jinja_path(rt, item, path) : item;
    if (rt.truthy(test ? jinja_call(rt, *test, looked_at, args) : looked_at) == Keep)
      kept.push_back(item);
  }
  return iterator(rt, std::move(kept));
}

Value attr(JinjaRuntime& rt, const Value& self, Args& args) {
  const std::string name = jinja_str(rt, args.positional[0])->bytes;
  if (self.is(Kind::dict) && !jinja_find_method(self, name))
    return rt.undefined("'dict object' has no attribute '" + name + "'");
  return jinja_attribute(rt, self, name);
}

constexpr JinjaBuiltin kFilters[] = {
    {"attr", attr, {"name"}, 1},
    {"batch", batch, {"linecount", "fill_with"}, 1},
    {"count", length},
    {"d", default_value, {"default_value", "boolean"}},
    {"default", default_value, {"default_value", "boolean"}},
    {"dictsort", dict_sort, {"case_sensitive", "by", "reverse"}},
    {"first", first},
    {"items", items},
    {"join", join, {"d", "attribute"}},
    {"last", last},
    {"length", length},
    {"list", list},
    {"map", map, {}, 0, true},
    {"max", extreme<true>, {"case_sensitive", "attribute"}},
    {"min", extreme<false>, {"case_sensitive", "attribute"}},
    {"reject", choose<false, false>, {}, 0, true},
    {"rejectattr", choose<false, true>, {}, 0, true},
    {"reverse", reverse},
    {"select", choose<true, false>, {}, 0, true},
    {"selectattr", choose<true, true>, {}, 0, true},
    {"slice", slice, {"slices", "fill_with"}, 1},
    {"sort", sort, {"reverse", "case_sensitive", "attribute"}},
    {"sum", sum, {"attribute", "start"}},
    {"unique", unique, {"case_sensitive", "attribute"}},
};

}  // namespace

JinjaTable jinja_sequence_filters() {
  return {std::begin(kFilters), std::end(kFilters)};
}

}  // namespace sqf
