#pragma once
// Rewriting of strings behind both filters and methods. Marks follow the characters: a character
// made from a marked one is marked.

#include <vector>

#include "model/jinja/value.hpp"

namespace sqf {

enum class JinjaCase : uint8_t { upper, lower, capitalize, title, swap };

/// Case mapping, one character to one character but for sharp s in upper case.
JinjaValue jinja_change_case(JinjaRuntime& rt, const JinjaText& text, JinjaCase how);
/// Replaces the first `limit` occurrences from the left; all of them where `limit` is negative.
JinjaValue jinja_replace(JinjaRuntime& rt, const JinjaText& text, const JinjaText& from,
                         const JinjaText& to, int64_t limit);
/// Splits at a separator or, where there is none, at stretches of white space. At most `limit` cuts
/// unless negative; counted from the right if `from_right`.
std::vector<JinjaValue> jinja_split(JinjaRuntime& rt, const JinjaText& text,
                                    const JinjaText* separator, int64_t limit, bool from_right);
/// Splits at line ends (\n, \r\n, \r and the rarer ones Python knows).
std::vector<JinjaValue> jinja_split_lines(JinjaRuntime& rt, const JinjaText& text, bool keep_ends);
/// Pads with `fill` up to `width` characters; the text keeps to the left, the right or the middle.
enum class JinjaAlign : uint8_t { left, right, middle };
JinjaValue jinja_pad(JinjaRuntime& rt, const JinjaText& text, int64_t width, JinjaAlign align,
                     const JinjaText& fill);
JinjaValue jinja_join(JinjaRuntime& rt, const JinjaText& separator,
                      const std::vector<JinjaValue>& items);
/// The text with a changed range, sharing nothing: strip and friends.
JinjaValue jinja_part(JinjaRuntime& rt, const JinjaText& text, JinjaRange part);

}  // namespace sqf
