#include "converter/text.hpp"

#include <cstddef>
#include <cstdint>

namespace sqf {
namespace {

/// Length of the well-formed character that starts `text`, 0 when there is none.
size_t character_bytes(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const auto continues = [&](size_t i) { return i < text.size() && (byte(i) & 0xc0) == 0x80; };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  if (!continues(1)) return 0;
  if (lead < 0xe0) return 2;
  if (!continues(2)) return 0;
  if (lead < 0xf0) {
    const bool overlong = lead == 0xe0 && byte(1) < 0xa0;
    const bool surrogate = lead == 0xed && byte(1) >= 0xa0;
    return overlong || surrogate ? 0 : 3;
  }
  if (!continues(3)) return 0;
  const bool overlong = lead == 0xf0 && byte(1) < 0x90;
  const bool beyond = lead == 0xf4 && byte(1) >= 0x90;
  return overlong || beyond ? 0 : 4;
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = character_bytes(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string in_quotes(std::string_view text) {
  constexpr size_t limit = 80;
  constexpr std::string_view hex = "0123456789abcdef";
  std::string out = "\"";
  size_t shown = 0;
  while (!text.empty() && shown < limit) {
    const size_t length = character_bytes(text);
    const uint8_t lead = static_cast<uint8_t>(text[0]);
    // C2 80 .. C2 9F are control characters too.
    const bool control =
        lead < 0x20 || lead == 0x7f || (lead == 0xc2 && static_cast<uint8_t>(text[1]) < 0xa0);
    const size_t taken = length == 0 ? 1 : length;
    if (length == 0 || control || lead == '"' || lead == '\\') {
      for (const char c : text.substr(0, taken)) {
        const uint8_t value = static_cast<uint8_t>(c);
        out += {'\\', 'x', hex[value >> 4], hex[value & 15]};
      }
    } else {
      out += text.substr(0, taken);
    }
    text.remove_prefix(taken);
    shown += taken;
  }
  return out + (text.empty() ? "\"" : "\"...");
}

}  // namespace sqf
