#pragma once
// Values a template computes with, and the runtime that owns them for the length of one render:
// memory, the budget that bounds work, and the first error. Values offer no way out to the host:
// an attribute is a key of a dict, a field of a namespace or loop, or a method from a fixed table.

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "format/result.hpp"
#include "model/jinja/text.hpp"

namespace sqf {

struct JinjaSequence;
struct JinjaDict;
struct JinjaMacro;
struct JinjaLoop;
struct JinjaMethod;
struct JinjaBuiltin;

/// One value; 32 bytes, cheap to copy. Containers belong to the runtime that made them.
struct JinjaValue {
  enum class Kind : uint8_t {
    missing,    ///< an argument that was not given; never seen by a template
    undefined,  ///< falsey, prints as nothing; `text` says why, for the error if it is used
    none,
    boolean,
    integer,
    floating,
    text,
    list,
    tuple,
    range,
    iterator,  ///< what lazy filters give: always true, has no length, is read once
    dict_keys,
    dict_values,
    dict_items,
    dict,
    space,  ///< namespace(): the one thing a template may change
    macro,
    loop,
    method,  ///< a method bound to its receiver
    function,
  };
  Kind kind = Kind::undefined;
  union {
    bool boolean;
    int64_t integer = 0;
    double floating;
    JinjaSequence* sequence;  ///< list .. dict_items
    JinjaDict* dict;          ///< dict, space
    const JinjaMacro* macro;
    JinjaLoop* loop;
    const JinjaMethod* method;
    const JinjaBuiltin* function;
  };
  JinjaTextPtr text;

  static JinjaValue of_none();
  static JinjaValue of_bool(bool value);
  static JinjaValue of_integer(int64_t value);
  static JinjaValue of_floating(double value);

  bool is(Kind which) const { return kind == which; }
  bool is_text() const { return kind == Kind::text; }
  bool is_missing() const { return kind == Kind::missing; }
  bool is_given() const { return kind != Kind::missing && kind != Kind::none; }
  bool is_undefined() const { return kind == Kind::undefined; }
  bool is_sequence() const { return kind >= Kind::list && kind <= Kind::dict_items; }
  bool is_integral() const { return kind == Kind::integer || kind == Kind::boolean; }
  bool is_number() const { return is_integral() || kind == Kind::floating; }
  int64_t as_integer() const { return kind == Kind::boolean ? boolean : integer; }
  double as_double() const {
    return kind == Kind::floating ? floating : static_cast<double>(as_integer());
  }
};

struct JinjaSequence {
  std::vector<JinjaValue> items;
  std::array<int64_t, 3> bounds{};  ///< of a range: start, stop, step
};

/// Keeps the order in which keys were given. Lookup is linear and paid from the budget.
struct JinjaDict {
  std::vector<std::pair<JinjaValue, JinjaValue>> entries;
};

struct JinjaMethod {
  JinjaValue receiver;
  const JinjaBuiltin* builtin;
};

struct JinjaArgs {
  std::vector<JinjaValue> positional;
  std::vector<std::pair<std::string, JinjaValue>> named;
};

/// Memory, limits and the first error of one render. After an error everything computed is
/// meaningless; loops must look at failed().
class JinjaRuntime {
 public:
  using Kind = JinjaValue::Kind;

  JinjaValue fail(Error error);
  /// A mistake of the template or its input, found while rendering: usage error with the line.
  JinjaValue fail(const std::string& message);
  JinjaValue fail_unsupported(const std::string& message);
  JinjaValue fail_limit(const std::string& message);
  bool failed() const { return failed_; }
  const Error& error() const { return error_; }
  void set_line(size_t line) { line_ = line; }

  /// Pays for `units` bytes of work or memory; false once the render has used up its share.
  bool charge(size_t units);
  bool charge_iteration();
  bool enter();  ///< one level deeper; pair with leave() whatever it returns
  void leave() { --depth_; }

  JinjaValue text(JinjaText value);
  JinjaValue text(std::string bytes) { return text(JinjaText(std::move(bytes))); }
  JinjaValue text(JinjaTextBuilder& builder);  ///< fails where the builder overflowed
  JinjaValue undefined(std::string why);
  JinjaValue sequence(Kind kind, std::vector<JinjaValue> items);
  JinjaValue list(std::vector<JinjaValue> items) { return sequence(Kind::list, std::move(items)); }
  JinjaValue dict(JinjaDict entries, Kind kind = Kind::dict);
  JinjaValue method(JinjaValue receiver, const JinjaBuiltin& builtin);

  bool truthy(const JinjaValue& value) const;
  bool equal(const JinjaValue& a, const JinjaValue& b);
  /// a < b; fails where the two have no order.
  bool less(const JinjaValue& a, const JinjaValue& b);
  /// `item in container`.
  bool contains(const JinjaValue& container, const JinjaValue& item);
  /// Everything a for loop over `value` would see; an iterator is used up by it.
  std::vector<JinjaValue> iterate(const JinjaValue& value);
  int64_t length(const JinjaValue& value);
  /// The value under a key, nullptr if there is none.
  const JinjaValue* find(const JinjaDict& dict, const JinjaValue& key);
  const JinjaValue* find(const JinjaDict& dict, std::string_view key);
  /// Fails on what Python cannot hash: lists, dicts, tuples with one of them inside.
  bool check_key(const JinjaValue& key);
  /// Replaces the value or adds the key.
  void put(JinjaDict& dict, JinjaValue key, JinjaValue value);

 private:
  bool equal_sequences(const JinjaSequence& a, const JinjaSequence& b);
  bool equal_dicts(const JinjaDict& a, const JinjaDict& b);

  std::deque<JinjaSequence> sequences_;
  std::deque<JinjaDict> dicts_;
  std::deque<JinjaMethod> methods_;
  Error error_;
  bool failed_ = false;
  size_t line_ = 0;
  size_t charged_ = 0;
  size_t iterations_ = 0;
  int depth_ = 0;
};

/// Name of a value's type as error messages of the reference implementation spell it.
std::string_view jinja_type_name(const JinjaValue& value);
/// A name between quotes for a message; a long one is cut.
std::string jinja_quoted(std::string_view name);

}  // namespace sqf
