#pragma once
// A parsed template. Expressions live in one pool and point at each other; they are never freed one
// by one, so a deep tree costs no stack to destroy.

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "model/jinja/builtin.hpp"
#include "model/jinja/value.hpp"

namespace sqf {

struct JinjaExpr {
  enum class Kind : uint8_t {
    literal,
    name,         ///< symbol
    list,         ///< children: items
    tuple,        ///< children: items
    dict,         ///< children: key, value, key, value, ...
    attribute,    ///< children: object; name
    item,         ///< children: object, key
    slice,        ///< children: object, start, stop, step (null where absent)
    call,         ///< children: callee, arguments; named
    filter,       ///< children: input (null: the text of a block), arguments; named
    test,         ///< children: input, arguments; named
    logical_not,  ///< children: one
    negate,
    positive,
    logical_and,  ///< children: two or more
    logical_or,
    concat,
    compare,      ///< children: first operand and one for each of ops
    arithmetic,   ///< children: first operand and one for each of ops, left to right
    conditional,  ///< children: condition, then, else (null where absent)
  };
  Kind kind = Kind::literal;
  uint32_t line = 0;
  int symbol = -1;
  const JinjaBuiltin* builtin = nullptr;  ///< of filter and test; null: fails when it is reached
  JinjaValue literal;
  std::string name;
  std::vector<const JinjaExpr*> children;
  std::vector<std::string> ops;
  std::vector<std::pair<std::string, const JinjaExpr*>> named;
  const JinjaExpr* star = nullptr;         ///< *arguments
  const JinjaExpr* double_star = nullptr;  ///< **arguments
};

struct JinjaStatement;
using JinjaBlock = std::vector<JinjaStatement>;

/// Parameters of a macro or a call block; defaults belong to the last ones.
struct JinjaSignature {
  std::vector<int> symbols;
  std::vector<std::string> names;
  std::vector<const JinjaExpr*> defaults;
  bool takes_varargs = false;  ///< the body reads varargs, kwargs, caller
  bool takes_kwargs = false;
  bool takes_caller = false;
};

struct JinjaStatement {
  enum class Kind : uint8_t {
    text,
    print,         ///< exprs
    branch,        ///< exprs: conditions; bodies: one each, then that of else if there is one
    loop,          ///< exprs: target, iterable, filter (null where absent); bodies: body, else
    set,           ///< exprs: target, value
    set_block,     ///< exprs: target, filter chain (null where absent); bodies: one
    macro,         ///< symbol, name, signature; bodies: one
    call,          ///< exprs: the call; signature of caller; bodies: one
    filter_block,  ///< exprs: filter chain; bodies: one
    with,          ///< exprs: target, value, target, value, ...; bodies: one
    scope,         ///< bodies: one, whose assignments stay inside
    loop_break,
    loop_continue,
  };
  Kind kind = Kind::text;
  bool recursive = false;  ///< of loop: its body may call loop()
  uint32_t line = 0;
  int symbol = -1;
  JinjaTextPtr text;
  std::string name;
  std::vector<const JinjaExpr*> exprs;
  std::vector<JinjaBlock> bodies;
  JinjaSignature signature;
};

struct JinjaProgram {
  std::deque<JinjaExpr> exprs;
  JinjaBlock body;
  std::vector<std::string> symbols;  ///< every name that is read or set, by number
  int loop_symbol = 0, varargs_symbol = 1, kwargs_symbol = 2, caller_symbol = 3;
};

}  // namespace sqf
