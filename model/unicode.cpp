#include "model/unicode.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "format/text.hpp"

namespace sqf {
namespace {

static_assert(lu == 1u << UTF8PROC_CATEGORY_LU && me == 1u << UTF8PROC_CATEGORY_ME);
static_assert(nd == 1u << UTF8PROC_CATEGORY_ND && no == 1u << UTF8PROC_CATEGORY_NO);
static_assert(pc == 1u << UTF8PROC_CATEGORY_PC && po == 1u << UTF8PROC_CATEGORY_PO);
static_assert(sm == 1u << UTF8PROC_CATEGORY_SM && so == 1u << UTF8PROC_CATEGORY_SO);

struct CategoryRange {
  char32_t first, last;
  uint32_t mask;
};

// Code points that Unicode 16 (and 15.1) assigned and utf8proc 2.8 (Unicode 15) does not know.
constexpr CategoryRange kSinceUnicode15[] = {
    {0x897, 0x897, mn},     {0x1B4E, 0x1B4F, po},   {0x1B7F, 0x1B7F, po},   {0x1C89, 0x1C89, lu},
    {0x1C8A, 0x1C8A, ll},   {0x2427, 0x2429, so},   {0x2FFC, 0x2FFF, so},   {0x31E4, 0x31E5, so},
    {0x31EF, 0x31EF, so},   {0xA7CB, 0xA7CC, lu},   {0xA7CD, 0xA7CD, ll},   {0xA7DA, 0xA7DA, lu},
    {0xA7DB, 0xA7DB, ll},   {0xA7DC, 0xA7DC, lu},   {0x105C0, 0x105F3, lo}, {0x10D40, 0x10D49, nd},
    {0x10D4A, 0x10D4D, lo}, {0x10D4E, 0x10D4E, lm}, {0x10D4F, 0x10D4F, lo}, {0x10D50, 0x10D65, lu},
    {0x10D69, 0x10D6D, mn}, {0x10D6E, 0x10D6E, pd}, {0x10D6F, 0x10D6F, lm}, {0x10D70, 0x10D85, ll},
    {0x10D8E, 0x10D8F, sm}, {0x10EC2, 0x10EC4, lo}, {0x10EFC, 0x10EFC, mn}, {0x11380, 0x11389, lo},
    {0x1138B, 0x1138B, lo}, {0x1138E, 0x1138E, lo}, {0x11390, 0x113B5, lo}, {0x113B7, 0x113B7, lo},
    {0x113B8, 0x113BA, mc}, {0x113BB, 0x113C0, mn}, {0x113C2, 0x113C2, mc}, {0x113C5, 0x113C5, mc},
    {0x113C7, 0x113CA, mc}, {0x113CC, 0x113CD, mc}, {0x113CE, 0x113CE, mn}, {0x113CF, 0x113CF, mc},
    {0x113D0, 0x113D0, mn}, {0x113D1, 0x113D1, lo}, {0x113D2, 0x113D2, mn}, {0x113D3, 0x113D3, lo},
    {0x113D4, 0x113D5, po}, {0x113D7, 0x113D8, po}, {0x113E1, 0x113E2, mn}, {0x116D0, 0x116E3, nd},
    {0x11BC0, 0x11BE0, lo}, {0x11BE1, 0x11BE1, po}, {0x11BF0, 0x11BF9, nd}, {0x11F5A, 0x11F5A, mn},
    {0x13460, 0x143FA, lo}, {0x16100, 0x1611D, lo}, {0x1611E, 0x16129, mn}, {0x1612A, 0x1612C, mc},
    {0x1612D, 0x1612F, mn}, {0x16130, 0x16139, nd}, {0x16D40, 0x16D42, lm}, {0x16D43, 0x16D6A, lo},
    {0x16D6B, 0x16D6C, lm}, {0x16D6D, 0x16D6F, po}, {0x16D70, 0x16D79, nd}, {0x18CFF, 0x18CFF, lo},
    {0x1CC00, 0x1CCEF, so}, {0x1CCF0, 0x1CCF9, nd}, {0x1CD00, 0x1CEB3, so}, {0x1E5D0, 0x1E5ED, lo},
    {0x1E5EE, 0x1E5EF, mn}, {0x1E5F0, 0x1E5F0, lo}, {0x1E5F1, 0x1E5FA, nd}, {0x1E5FF, 0x1E5FF, po},
    {0x1F8B2, 0x1F8BB, so}, {0x1F8C0, 0x1F8C1, so}, {0x1FA89, 0x1FA89, so}, {0x1FA8F, 0x1FA8F, so},
    {0x1FABE, 0x1FABE, so}, {0x1FAC6, 0x1FAC6, so}, {0x1FADC, 0x1FADC, so}, {0x1FADF, 0x1FADF, so},
    {0x1FAE9, 0x1FAE9, so}, {0x1FBCB, 0x1FBEF, so}, {0x2EBF0, 0x2EE5D, lo},
};

bool is_white_space(char32_t code) {
  if (code < 0x80) return code == ' ' || (code >= '\t' && code <= '\r');
  return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
         code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

uint32_t category_bit(char32_t code) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  if (category != UTF8PROC_CATEGORY_CN) return 1u << category;
  const auto* range =
      std::upper_bound(std::begin(kSinceUnicode15), std::end(kSinceUnicode15), code,
                       [](char32_t value, const CategoryRange& r) { return value < r.first; });
  if (range != std::begin(kSinceUnicode15) && code <= std::prev(range)->last)
    return std::prev(range)->mask;
  return 1u << category;
}

}  // namespace

uint32_t char_mask(char32_t code) {
  return category_bit(code) | (is_white_space(code) ? white_space : 0u);
}

bool is_word_char(char32_t code) {
  if (category_bit(code) & (kLetter | kMark | nd | nl | pc)) return true;
  // Join_Control, and the symbols that are Other_Alphabetic.
  return code == 0x200C || code == 0x200D || (code >= 0x24B6 && code <= 0x24E9) ||
         (code >= 0x1F130 && code <= 0x1F149) || (code >= 0x1F150 && code <= 0x1F169) ||
         (code >= 0x1F170 && code <= 0x1F189);
}

void decode_chars(std::string_view text, Chars& out) {
  out.code.clear();
  out.mask.clear();
  out.begin.clear();
  size_t at = 0;
  while (at < text.size()) {
    out.begin.push_back(static_cast<uint32_t>(at));
    const char32_t code = next_char(text, at);
    out.code.push_back(code);
    out.mask.push_back(char_mask(code));
  }
  out.begin.push_back(static_cast<uint32_t>(text.size()));
}

}  // namespace sqf
