#pragma once
// Strings of the template language: UTF-8 bytes plus marks on the bytes that came out of a message.
// Every operation that cuts, joins or rewrites a string carries the marks along, so that the output
// knows which of its characters a user wrote. Indices count characters, as templates expect.
// Refuses to grow a string past kJinjaMaxTextBytes.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sqf {

constexpr size_t kJinjaMaxTextBytes = size_t{16} << 20;

/// Half-open byte range [begin, end).
struct JinjaRange {
  size_t begin = 0;
  size_t end = 0;
};

/// Valid UTF-8. Immutable once shared.
struct JinjaText {
  std::string bytes;
  std::vector<JinjaRange>
      marks;  ///< bytes from a message: sorted, disjoint, not touching, not empty
  bool ascii = true;
  bool markup = false;  ///< passed through `safe` or `escape`: `+` then escapes its other operand

  JinjaText() = default;
  explicit JinjaText(std::string text, bool from_user = false);
};

using JinjaTextPtr = std::shared_ptr<const JinjaText>;

/// Collects a string piece by piece. Past the size limit it drops everything and says so.
class JinjaTextBuilder {
 public:
  void append(std::string_view bytes, bool from_user);
  void append(std::string_view bytes) { append(bytes, false); }
  void append(const JinjaText& text) { append(text, {0, text.bytes.size()}); }
  void append(const JinjaText& text, JinjaRange part);
  void append_char(char32_t code, bool from_user);

  size_t size() const { return text_.bytes.size(); }
  bool overflowed() const { return overflowed_; }
  JinjaText take() { return std::move(text_); }

 private:
  bool fits(size_t more);
  void mark(size_t begin, size_t end);

  JinjaText text_;
  bool overflowed_ = false;
};

/// Walks a string once from front to back, telling for each byte whether it is marked.
class JinjaMarkCursor {
 public:
  explicit JinjaMarkCursor(const JinjaText& text) : marks_(&text.marks) {}
  /// Positions must not decrease from call to call.
  bool marked(size_t byte);

 private:
  const std::vector<JinjaRange>* marks_;
  size_t next_ = 0;
};

JinjaText jinja_cut(const JinjaText& text, JinjaRange part);

/// White space as Python's str.isspace has it.
bool jinja_is_space(char32_t code);

size_t jinja_char_count(const JinjaText& text);
/// Byte offset of the character with this index; the size of the text where there is none.
size_t jinja_byte_offset(const JinjaText& text, size_t char_index);

/// What remains after removing, on the chosen sides, white space or (if given) any of the
/// characters in `chars`.
JinjaRange jinja_strip(std::string_view bytes, bool left, bool right,
                       const std::string* chars = nullptr);
/// First occurrence at or after `from`, npos if none. Linear time whatever the pattern.
size_t jinja_find(std::string_view text, std::string_view pattern, size_t from);

}  // namespace sqf
