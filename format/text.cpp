#include "format/text.hpp"

#include <cassert>
#include <cstdint>

namespace sqf {
namespace {

/// Length of the UTF-8 sequence at the front of `bytes`: 1..4, or 0 if it is none. `prefix` becomes
/// how many bytes agree with some code point, at least 1 of them; it equals bytes.size() where more
/// bytes could complete the sequence.
size_t sequence_length(std::string_view bytes, size_t& prefix) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  prefix = 1;
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte also keeps out overlong forms, surrogates and what lies above U+10FFFF.
  const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  while (prefix < length && prefix < bytes.size()) {
    const uint8_t next = byte(prefix);
    if (prefix == 1 ? next < low || next > high : (next & 0xC0) != 0x80) return 0;
    ++prefix;
  }
  return prefix == length ? length : 0;
}

}  // namespace

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    size_t prefix = 0;
    const size_t length = sequence_length(text.substr(at, 4), prefix);
    if (length == 0) return at;
    at += length;
  }
  return std::nullopt;
}

Utf8Run next_utf8_run(std::string_view bytes) {
  size_t at = 0;
  while (at < bytes.size()) {
    const std::string_view rest = bytes.substr(at);
    size_t prefix = 0;
    const size_t length = sequence_length(rest.substr(0, 4), prefix);
    if (length == 0) {
      if (at > 0) break;
      const uint8_t lead = static_cast<uint8_t>(rest[0]);
      const bool may_grow = prefix == rest.size() && lead >= 0xC2 && lead <= 0xF4;
      return {may_grow ? 0 : prefix, false};
    }
    at += length;
  }
  return {at, true};
}

char32_t next_char(std::string_view text, size_t& at) {
  assert(at < text.size());
  const auto byte = [&](size_t i) { return static_cast<char32_t>(static_cast<uint8_t>(text[i])); };
  const char32_t lead = byte(at);
  if (lead < 0x80) {
    at += 1;
    return lead;
  }
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  assert(at + length <= text.size());
  char32_t code = lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) code = code << 6 | (byte(at + i) & 0x3F);
  at += length;
  return code;
}

char32_t previous_char(std::string_view text, size_t& at) {
  assert(at > 0 && at <= text.size());
  do --at;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80);
  size_t end = at;
  return next_char(text, end);
}

void append_utf8(std::string& out, char32_t code) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

std::string in_quotes(std::string_view text) {
  constexpr size_t kLimit = 80;
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  size_t shown = 0;
  while (!text.empty() && shown < kLimit) {
    size_t prefix = 0;
    const size_t length = sequence_length(text.substr(0, 4), prefix);
    const uint8_t lead = static_cast<uint8_t>(text[0]);
    // C2 80 .. C2 9F are control characters too.
    const bool control = lead < 0x20 || lead == 0x7f ||
                         (length == 2 && lead == 0xc2 && static_cast<uint8_t>(text[1]) < 0xa0);
    const size_t taken = length == 0 ? 1 : length;
    if (length == 0 || control) {
      for (const char c : text.substr(0, taken)) {
        const uint8_t value = static_cast<uint8_t>(c);
        out += {'\\', 'x', kHex[value >> 4], kHex[value & 15]};
      }
    } else {
      if (lead == '"' || lead == '\\') out += '\\';
      out += text.substr(0, taken);
    }
    text.remove_prefix(taken);
    shown += taken;
  }
  return out + (text.empty() ? "\"" : "\"...");
}

}  // namespace sqf
