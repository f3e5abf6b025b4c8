#include "model/jinja/value.hpp"

#include <algorithm>

#include "format/text.hpp"

namespace sqf {
namespace {

// Bounds for one render. A long conversation (1 MiB of text, a thousand messages) stays under a
// tenth of each; a hostile template is stopped within a second and 256 MiB.
constexpr size_t kMaxWork = size_t{192} << 20;  // bytes of memory made or text looked at
constexpr size_t kMaxIterations = 1'000'000;
constexpr int kMaxDepth = 600;

}  // namespace

using Kind = JinjaValue::Kind;

JinjaValue JinjaValue::of_none() {
  JinjaValue value;
  value.kind = Kind::none;
  return value;
}

JinjaValue JinjaValue::of_bool(bool flag) {
  JinjaValue value;
  value.kind = Kind::boolean;
  value.boolean = flag;
  return value;
}

JinjaValue JinjaValue::of_integer(int64_t number) {
  JinjaValue value;
  value.kind = Kind::integer;
  value.integer = number;
  return value;
}

JinjaValue JinjaValue::of_floating(double number) {
  JinjaValue value;
  value.kind = Kind::floating;
  value.floating = number;
  return value;
}

JinjaValue JinjaRuntime::fail(Error error) {
  if (!failed_) error_ = std::move(error);
  failed_ = true;
  return {};
}

JinjaValue JinjaRuntime::fail(const std::string& message) {
  return fail(usage_error("chat template line " + std::to_string(line_) + ": " + message));
}

JinjaValue JinjaRuntime::fail_unsupported(const std::string& message) {
  return fail(unsupported("chat template line " + std::to_string(line_) + ": " + message +
                          " is not supported"));
}

JinjaValue JinjaRuntime::fail_limit(const std::string& message) {
  return fail(malformed("chat template line " + std::to_string(line_) + ": " + message));
}

bool JinjaRuntime::charge(size_t units) {
  if (units > kMaxWork - charged_) {
    charged_ = kMaxWork;
    fail_limit("does more work than a chat template may");
  } else {
    charged_ += units;
  }
  return !failed_;
}

bool JinjaRuntime::charge_iteration() {
  if (++iterations_ > kMaxIterations)
    fail_limit("runs more than " + std::to_string(kMaxIterations) + " loop iterations");
  return !failed_;
}

bool JinjaRuntime::enter() {
  if (++depth_ > kMaxDepth) fail_limit("nests or recurses too deeply");
  return !failed_;
}

JinjaValue JinjaRuntime::text(JinjaText value) {
  if (value.bytes.size() > kJinjaMaxTextBytes) return fail_limit("makes a string over 16 MiB");
  if (!charge(sizeof(JinjaText) + value.bytes.size())) return {};
  JinjaValue result;
  result.kind = Kind::text;
  result.text = std::make_shared<const JinjaText>(std::move(value));
  return result;
}

JinjaValue JinjaRuntime::text(JinjaTextBuilder& builder) {
  if (builder.overflowed()) return fail_limit("makes a string over 16 MiB");
  return text(builder.take());
}

JinjaValue JinjaRuntime::undefined(std::string why) {
  charge(why.size());
  JinjaValue result;
  result.text = std::make_shared<const JinjaText>(std::move(why));
  return result;
}

JinjaValue JinjaRuntime::sequence(Kind kind, std::vector<JinjaValue> items) {
  if (!charge(sizeof(JinjaSequence) + items.size() * sizeof(JinjaValue))) return {};
  JinjaValue result;
  result.kind = kind;
  result.sequence = &sequences_.emplace_back();
  result.sequence->items = std::move(items);
  return result;
}

JinjaValue JinjaRuntime::dict(JinjaDict entries, Kind kind) {
  if (!charge(sizeof(JinjaDict) + entries.entries.size() * 2 * sizeof(JinjaValue))) return {};
  JinjaValue result;
  result.kind = kind;
  result.dict = &dicts_.emplace_back(std::move(entries));
  return result;
}

JinjaValue JinjaRuntime::method(JinjaValue receiver, const JinjaBuiltin& builtin) {
  if (!charge(sizeof(JinjaMethod))) return {};
  JinjaValue result;
  result.kind = Kind::method;
  result.method = &methods_.emplace_back(JinjaMethod{std::move(receiver), &builtin});
  return result;
}

bool JinjaRuntime::truthy(const JinjaValue& value) const {
  switch (value.kind) {
    case Kind::missing:
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
      return value.boolean;
    case Kind::integer:
      return value.integer != 0;
    case Kind::floating:
      return value.floating != 0;
    case Kind::text:
      return !value.text->bytes.empty();
    case Kind::list:
    case Kind::tuple:
    case Kind::range:
    case Kind::dict_keys:
    case Kind::dict_values:
    case Kind::dict_items:
      return !value.sequence->items.empty();
    case Kind::dict:
      return !value.dict->entries.empty();
    default:
      return true;
  }
}

bool JinjaRuntime::equal_sequences(const JinjaSequence& a, const JinjaSequence& b) {
  if (a.items.size() != b.items.size()) return false;
  bool same = enter();
  for (size_t i = 0; same && i < a.items.size(); ++i) same = equal(a.items[i], b.items[i]);
  leave();
  return same;
}

bool JinjaRuntime::equal_dicts(const JinjaDict& a, const JinjaDict& b) {
  if (a.entries.size() != b.entries.size()) return false;
  bool same = enter();
  for (size_t i = 0; same && i < a.entries.size(); ++i) {
    const JinjaValue* other = find(b, a.entries[i].first);
    same = other && equal(a.entries[i].second, *other);
  }
  leave();
  return same;
}

bool JinjaRuntime::equal(const JinjaValue& a, const JinjaValue& b) {
  if (!charge(1)) return false;
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return a.as_integer() == b.as_integer();
    return a.as_double() == b.as_double();
  }
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::text:
      return a.text->bytes.size() == b.text->bytes.size() && charge(a.text->bytes.size()) &&
             a.text->bytes == b.text->bytes;
    case Kind::dict:
      return equal_dicts(*a.dict, *b.dict);
    case Kind::list:
    case Kind::tuple:
    case Kind::range:
    case Kind::dict_keys:
    case Kind::dict_items:
      return equal_sequences(*a.sequence, *b.sequence);
    case Kind::missing:
    case Kind::undefined:
    case Kind::none:
      return true;
    default:
      return a.integer == b.integer;  // the same object
  }
}

bool JinjaRuntime::less(const JinjaValue& a, const JinjaValue& b) {
  if (!charge(1)) return false;
  if (a.is_undefined() || b.is_undefined()) {
    fail((a.is_undefined() ? a : b).text ? (a.is_undefined() ? a : b).text->bytes
                                         : "undefined value");
    return false;
  }
  if (a.is_integral() && b.is_integral()) return a.as_integer() < b.as_integer();
  if (a.is_number() && b.is_number()) return a.as_double() < b.as_double();
  if (a.is_text() && b.is_text())  // UTF-8 sorts as its code points do
    return charge(std::min(a.text->bytes.size(), b.text->bytes.size())) &&
           a.text->bytes < b.text->bytes;
  if (a.kind == b.kind && (a.is(Kind::list) || a.is(Kind::tuple))) {
    const auto &left = a.sequence->items, &right = b.sequence->items;
    bool result = left.size() < right.size();
    if (enter()) {
      for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
        if (equal(left[i], right[i])) continue;
        result = less(left[i], right[i]);
        break;
      }
    }
    leave();
    return result;
  }
  fail("'<' not supported between instances of '" + std::string(jinja_type_name(a)) + "' and '" +
       std::string(jinja_type_name(b)) + "'");
  return false;
}

bool JinjaRuntime::contains(const JinjaValue& container, const JinjaValue& item) {
  if (container.is_text()) {
    if (!item.is_text()) {
      fail("'in <string>' requires string as left operand, not " +
           std::string(jinja_type_name(item)));
      return false;
    }
    return charge(container.text->bytes.size() + item.text->bytes.size()) &&
           jinja_find(container.text->bytes, item.text->bytes, 0) != std::string::npos;
  }
  if (container.is(Kind::dict)) return check_key(item) && find(*container.dict, item) != nullptr;
  if (container.is_sequence() && !container.is(Kind::iterator)) {
    const auto& items = container.sequence->items;
    return std::any_of(items.begin(), items.end(),
                       [&](const JinjaValue& other) { return equal(item, other); });
  }
  for (const JinjaValue& other : iterate(container))
    if (equal(item, other)) return true;
  return false;
}

std::vector<JinjaValue> JinjaRuntime::iterate(const JinjaValue& value) {
  if (value.is_undefined()) return {};
  if (value.is(Kind::iterator)) return std::exchange(value.sequence->items, {});
  if (value.is_sequence()) {
    if (!charge(value.sequence->items.size() * sizeof(JinjaValue))) return {};
    return value.sequence->items;
  }
  std::vector<JinjaValue> items;
  if (value.is(Kind::dict)) {
    if (!charge(value.dict->entries.size() * sizeof(JinjaValue))) return {};
    for (const auto& [key, _] : value.dict->entries) items.push_back(key);
    return items;
  }
  if (!value.is_text()) {
    fail(jinja_quoted(jinja_type_name(value)) + " object is not iterable");
    return {};
  }
  const std::string& bytes = value.text->bytes;
  for (size_t at = 0; at < bytes.size() && charge(sizeof(JinjaText));) {
    const size_t begin = at;
    next_char(bytes, at);
    JinjaText character = jinja_cut(*value.text, {begin, at});
    character.markup = false;
    items.push_back(text(std::move(character)));
  }
  return items;
}

int64_t JinjaRuntime::length(const JinjaValue& value) {
  if (value.is_undefined()) return 0;
  if (value.is_text()) {
    if (!value.text->ascii) charge(value.text->bytes.size());
    return static_cast<int64_t>(jinja_char_count(*value.text));
  }
  if (value.is(Kind::dict)) return static_cast<int64_t>(value.dict->entries.size());
  if (value.is_sequence() && !value.is(Kind::iterator))
    return static_cast<int64_t>(value.sequence->items.size());
  fail("object of type '" + std::string(jinja_type_name(value)) + "' has no len()");
  return 0;
}

const JinjaValue* JinjaRuntime::find(const JinjaDict& dict, const JinjaValue& key) {
  for (const auto& [name, value] : dict.entries)
    if (equal(name, key)) return &value;
  return nullptr;
}

const JinjaValue* JinjaRuntime::find(const JinjaDict& dict, std::string_view key) {
  if (!charge(dict.entries.size() + key.size())) return nullptr;
  for (const auto& [name, value] : dict.entries)
    if (name.is_text() && name.text->bytes == key) return &value;
  return nullptr;
}

bool JinjaRuntime::check_key(const JinjaValue& key) {
  const bool is_tuple = key.is(Kind::tuple);
  if (key.is(Kind::list) || key.is(Kind::dict) || key.is(Kind::dict_items) ||
      key.is(Kind::dict_keys) || (is_tuple && !enter()))
    fail("unhashable type: " + jinja_quoted(jinja_type_name(key)));
  for (size_t i = 0; is_tuple && i < key.sequence->items.size() && !failed_; ++i)
    if (charge(1)) check_key(key.sequence->items[i]);
  if (is_tuple) leave();
  return !failed_;
}

void JinjaRuntime::put(JinjaDict& dict, JinjaValue key, JinjaValue value) {
  if (!check_key(key)) return;
  for (auto& [name, held] : dict.entries) {
    if (!equal(name, key)) continue;
    held = std::move(value);
    return;
  }
  if (charge(2 * sizeof(JinjaValue))) dict.entries.emplace_back(std::move(key), std::move(value));
}

std::string_view jinja_type_name(const JinjaValue& value) {
  switch (value.kind) {
    case Kind::missing:
    case Kind::undefined:
      return "Undefined";
    case Kind::none:
      return "NoneType";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
      return "int";
    case Kind::floating:
      return "float";
    case Kind::text:
      return "str";
    case Kind::list:
      return "list";
    case Kind::tuple:
      return "tuple";
    case Kind::range:
      return "range";
    case Kind::iterator:
      return "generator";
    case Kind::dict_keys:
      return "dict_keys";
    case Kind::dict_values:
      return "dict_values";
    case Kind::dict_items:
      return "dict_items";
    case Kind::dict:
      return "dict";
    case Kind::space:
      return "Namespace";
    case Kind::macro:
      return "Macro";
    case Kind::loop:
      return "LoopContext";
    case Kind::method:
    case Kind::function:
      break;
  }
  return "function";
}

std::string jinja_quoted(std::string_view name) {
  constexpr size_t kLongest = 100;
  size_t end = 0;
  while (end < name.size() && end < kLongest) next_char(name, end);
  std::string text;
  text += '\'';
  text.append(name.data(), end);
  text += end < name.size() ? "...'" : "'";
  return text;
}

}  // namespace sqf
