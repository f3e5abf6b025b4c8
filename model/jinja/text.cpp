#include "model/jinja/text.hpp"

#include <cstring>

#include <algorithm>

#include "format/text.hpp"

namespace sqf {
namespace {

bool is_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

bool is_ascii(std::string_view bytes) {
  return std::none_of(bytes.begin(), bytes.end(),
                      [](char byte) { return static_cast<unsigned char>(byte) >= 0x80; });
}

}  // namespace

JinjaText::JinjaText(std::string text, bool from_user)
    : bytes(std::move(text)), ascii(is_ascii(bytes)) {
  if (from_user && !bytes.empty()) marks.push_back({0, bytes.size()});
}

bool JinjaTextBuilder::fits(size_t more) {
  if (overflowed_ || more > kJinjaMaxTextBytes - text_.bytes.size()) {
    overflowed_ = true;
    text_ = {};
  }
  return !overflowed_;
}

void JinjaTextBuilder::mark(size_t begin, size_t end) {
  if (begin == end) return;
  if (!text_.marks.empty() && text_.marks.back().end == begin)
    text_.marks.back().end = end;
  else
    text_.marks.push_back({begin, end});
}

void JinjaTextBuilder::append(std::string_view bytes, bool from_user) {
  if (!fits(bytes.size())) return;
  const size_t begin = size();
  text_.bytes += bytes;
  if (text_.ascii) text_.ascii = is_ascii(bytes);
  if (from_user) mark(begin, size());
}

void JinjaTextBuilder::append(const JinjaText& text, JinjaRange part) {
  if (!fits(part.end - part.begin)) return;
  const size_t base = size();
  const std::string_view piece =
      std::string_view(text.bytes).substr(part.begin, part.end - part.begin);
  text_.bytes += piece;
  if (text_.ascii && !text.ascii) text_.ascii = is_ascii(piece);
  auto first = std::partition_point(text.marks.begin(), text.marks.end(),
                                    [&](const JinjaRange& m) { return m.end <= part.begin; });
  for (; first != text.marks.end() && first->begin < part.end; ++first)
    mark(base + std::max(first->begin, part.begin) - part.begin,
         base + std::min(first->end, part.end) - part.begin);
}

void JinjaTextBuilder::append_char(char32_t code, bool from_user) {
  std::string bytes;
  append_utf8(bytes, code);
  append(bytes, from_user);
}

bool JinjaMarkCursor::marked(size_t byte) {
  while (next_ < marks_->size() && (*marks_)[next_].end <= byte) ++next_;
  return next_ < marks_->size() && (*marks_)[next_].begin <= byte;
}

JinjaText jinja_cut(const JinjaText& text, JinjaRange part) {
  JinjaTextBuilder builder;
  builder.append(text, part);
  JinjaText result = builder.take();
  result.markup = text.markup;
  return result;
}

bool jinja_is_space(char32_t code) {
  return (code >= 9 && code <= 13) || (code >= 28 && code <= 32) || code == 0x85 || code == 0xA0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
         code == 0x202F || code == 0x205F || code == 0x3000;
}

size_t jinja_char_count(const JinjaText& text) {
  if (text.ascii) return text.bytes.size();
  return static_cast<size_t>(std::count_if(text.bytes.begin(), text.bytes.end(),
                                           [](char byte) { return !is_continuation(byte); }));
}

size_t jinja_byte_offset(const JinjaText& text, size_t char_index) {
  if (text.ascii) return std::min(char_index, text.bytes.size());
  size_t at = 0;
  for (; at < text.bytes.size(); ++at)
    if (!is_continuation(text.bytes[at]) && char_index-- == 0) break;
  return at;
}

JinjaRange jinja_strip(std::string_view bytes, bool left, bool right, const std::string* chars) {
  std::vector<char32_t> set;
  for (size_t at = 0; chars && at < chars->size();) set.push_back(next_char(*chars, at));
  std::sort(set.begin(), set.end());
  auto goes = [&](size_t at) {
    const char32_t code = next_char(bytes, at);
    return chars ? std::binary_search(set.begin(), set.end(), code) : jinja_is_space(code);
  };
  size_t begin = 0, end = bytes.size();
  while (left && begin < end && goes(begin)) next_char(bytes, begin);
  while (right && begin < end) {
    size_t last = end - 1;
    while (last > begin && is_continuation(bytes[last])) --last;
    if (!goes(last)) break;
    end = last;
  }
  return {begin, end};
}

size_t jinja_find(std::string_view text, std::string_view pattern, size_t from) {
  if (from > text.size()) return std::string::npos;
  if (pattern.empty()) return from;
  const void* hit = memmem(text.data() + from, text.size() - from, pattern.data(), pattern.size());
  if (!hit) return std::string::npos;
  return static_cast<size_t>(static_cast<const char*>(hit) - text.data());
}

}  // namespace sqf
