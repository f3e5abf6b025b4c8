// What is UTF-8, and how bytes from a file are shown.
#include "format/text.hpp"

#include <gtest/gtest.h>

namespace sqf {
namespace {

TEST(Text, KnowsUtf8) {
  for (const char* good : {"", "a", "\xc3\xa9", "\xe2\x96\x81", "\xf0\x9f\x98\x80",
                           "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf", "\xee\x80\x80"})
    EXPECT_TRUE(is_utf8(good)) << in_quotes(good);
  for (const char* bad :
       {"\x80", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xe2\x96", "\xf0\x9f\x98", "a\xe2(\x81"})
    EXPECT_FALSE(is_utf8(bad)) << in_quotes(bad);
}

TEST(Text, QuotesWhatATerminalWouldObey) {
  EXPECT_EQ(in_quotes("a\x1b[2J\"\\\xff\xc3\xa9\xc2\x9b"),
            "\"a\\x1b[2J\\\"\\\\\\xff\xc3\xa9\\xc2\\x9b\"");
  EXPECT_EQ(in_quotes(std::string(200, 'x')), "\"" + std::string(80, 'x') + "\"...");
  const std::string cut = "\xc2\x9b";
  EXPECT_EQ(in_quotes(std::string_view(cut).substr(0, 1)), "\"\\xc2\"");
}

}  // namespace
}  // namespace sqf
