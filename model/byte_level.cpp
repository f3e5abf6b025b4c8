#include "model/byte_level.hpp"

#include <array>
#include <cstdint>

#include "format/text.hpp"

namespace sqf {
namespace {

constexpr char32_t kEnd = 0x144;  // one behind the largest character of the alphabet

constexpr bool stands_for_itself(char32_t byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::array<char32_t, 256> make_alphabet() {
  std::array<char32_t, 256> alphabet{};
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte)
    alphabet[byte] = stands_for_itself(byte) ? byte : next++;
  return alphabet;
}

constexpr auto kAlphabet = make_alphabet();

constexpr std::array<int16_t, kEnd> make_inverse() {
  std::array<int16_t, kEnd> inverse{};
  for (auto& entry : inverse) entry = -1;
  for (int16_t byte = 0; byte < 256; ++byte) inverse[kAlphabet[static_cast<size_t>(byte)]] = byte;
  return inverse;
}

constexpr auto kInverse = make_inverse();

}  // namespace

const std::array<char32_t, 256>& byte_level_alphabet() {
  return kAlphabet;
}

void append_byte_level(std::string& out, std::string_view text) {
  for (const char byte : text) append_utf8(out, kAlphabet[static_cast<uint8_t>(byte)]);
}

std::optional<std::string> bytes_of_byte_level(std::string_view token) {
  std::string bytes;
  size_t at = 0;
  while (at < token.size()) {
    const char32_t code = next_char(token, at);
    if (code >= kEnd || kInverse[code] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(kInverse[code]));
  }
  return bytes;
}

}  // namespace sqf
