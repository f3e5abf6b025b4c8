#pragma once
// What code points are: general categories, canonical composition. Categories and
// decompositions come from utf8proc, brought up to Unicode 16 where the library is older, so that
// the ids a text gets do not depend on which utf8proc is installed. Knows nothing of tokens.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sqf {

/// One bit for each general category, and one for White_Space: a class of characters is a mask.
enum CharMask : uint32_t {
  lu = 1u << 1,
  ll = 1u << 2,
  lt = 1u << 3,
  lm = 1u << 4,
  lo = 1u << 5,
  mn = 1u << 6,
  mc = 1u << 7,
  me = 1u << 8,
  nd = 1u << 9,
  nl = 1u << 10,
  no = 1u << 11,
  pc = 1u << 12,
  pd = 1u << 13,
  po = 1u << 18,
  sm = 1u << 19,
  so = 1u << 22,
  white_space = 1u << 30,
};
constexpr uint32_t kLetter = lu | ll | lt | lm | lo;
constexpr uint32_t kMark = mn | mc | me;
constexpr uint32_t kNumber = nd | nl | no;
constexpr uint32_t kPunctuation = 0x7fu << 12;  // Pc Pd Ps Pe Pi Pf Po
constexpr uint32_t kSymbol = 0xfu << 19;        // Sm Sc Sk So

/// The bits of `code`: its category, and white_space if it has that property.
uint32_t char_mask(char32_t code);

/// What regular expressions call \w: alphabetic, mark, decimal number, connector, joiner.
bool is_word_char(char32_t code);

/// Text as arrays over its code points; begin has one entry more, the length in bytes.
struct Chars {
  std::vector<char32_t> code;
  std::vector<uint32_t> mask;
  std::vector<uint32_t> begin;
  uint32_t size() const { return static_cast<uint32_t>(code.size()); }
};

/// Precondition: `text` is UTF-8 and shorter than 4 GiB. Reuses the memory of `out`.
void decode_chars(std::string_view text, Chars& out);

/// Canonical composition (NFC) of UTF-8 text, with the character data of Unicode 9 for reordering
/// as the reference tokenizers have it: marks encoded later neither move nor compose. Time
/// n log n in the longest run of combining marks.
std::string nfc(std::string_view text);

}  // namespace sqf
