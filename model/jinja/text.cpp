#include "model/jinja/text.hpp"

#include <string.h>

#include <algorithm>

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
  append(jinja_encode(code), from_user);
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

bool jinja_is_utf8(std::string_view bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const auto lead = static_cast<unsigned char>(bytes[at]);
    size_t length = 1;
    if (lead >= 0x80) length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || length > bytes.size() - at) return false;
    for (size_t i = 1; i < length; ++i)
      if (!is_continuation(bytes[at + i])) return false;
    const char32_t code = jinja_decode(bytes, at);
    if ((length == 3 && code < 0x800) || (length == 4 && code < 0x10000) || code > 0x10FFFF ||
        (code >= 0xD800 && code < 0xE000))
      return false;
  }
  return true;
}

char32_t jinja_decode(std::string_view bytes, size_t& at) {
  const auto lead = static_cast<unsigned char>(bytes[at++]);
  if (lead < 0x80) return lead;
  char32_t code = lead >= 0xF0 ? lead & 0x07u : lead >= 0xE0 ? lead & 0x0Fu : lead & 0x1Fu;
  while (at < bytes.size() && is_continuation(bytes[at]))
    code = code << 6 | (static_cast<unsigned char>(bytes[at++]) & 0x3Fu);
  return code;
}

std::string jinja_encode(char32_t code) {
  auto byte = [](char32_t bits) { return static_cast<char>(static_cast<unsigned char>(bits)); };
  if (code < 0x80) return {byte(code)};
  if (code < 0x800) return {byte(0xC0 | code >> 6), byte(0x80 | (code & 0x3F))};
  if (code < 0x10000)
    return {byte(0xE0 | code >> 12), byte(0x80 | (code >> 6 & 0x3F)), byte(0x80 | (code & 0x3F))};
  return {byte(0xF0 | code >> 18), byte(0x80 | (code >> 12 & 0x3F)),
          byte(0x80 | (code >> 6 & 0x3F)), byte(0x80 | (code & 0x3F))};
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
  for (size_t at = 0; chars && at < chars->size();) set.push_back(jinja_decode(*chars, at));
  std::sort(set.begin(), set.end());
  auto goes = [&](size_t at) {
    const char32_t code = jinja_decode(bytes, at);
    return chars ? std::binary_search(set.begin(), set.end(), code) : jinja_is_space(code);
  };
  size_t begin = 0, end = bytes.size();
  while (left && begin < end && goes(begin)) jinja_decode(bytes, begin);
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
