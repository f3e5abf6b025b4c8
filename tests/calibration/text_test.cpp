// Which tokens calibration takes, and which texts it refuses.
#include "converter/calibration/text.hpp"

#include <gtest/gtest.h>

#include "format/hash.hpp"
#include "tests/calibration/byte_tokenizer.hpp"

namespace sqf {
namespace {

/// 100 lines "00\n" to "99\n": byte tokens, three to a line.
std::string hundred_lines() {
  std::string text;
  for (char tens = '0'; tens <= '9'; tens++)
    for (char ones = '0'; ones <= '9'; ones++) text += {tens, ones, '\n'};
  return text;
}

Result<CalibrationTokens> tokens_of(const std::string& text, CalibrationOptions options) {
  return calibration_tokens(byte_tokenizer(), text, "t.txt", options);
}

TEST(CalibrationText, WindowsAreSpreadEvenly) {
  const std::string text = hundred_lines();
  auto all = tokens_of(text, {.length = 6, .tokens = 300});
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(all->windows, 50);
  EXPECT_EQ(all->ids, std::vector<int32_t>(text.begin(), text.end()));
  // 50 windows are there; 4 of them: 0, 12, 25, 37. What is over a whole window is not taken.
  auto four = tokens_of(text, {.length = 6, .tokens = 29});
  ASSERT_TRUE(four);
  EXPECT_EQ(four->windows, 4);
  for (const auto& [window, line] : {std::pair{0, 0}, {1, 24}, {2, 50}, {3, 74}}) {
    EXPECT_EQ(four->window(window)[0], text[static_cast<size_t>(line) * 3]) << window;
    EXPECT_EQ(four->window(window)[1], text[static_cast<size_t>(line) * 3 + 1]) << window;
  }
  auto fewer = tokens_of(text, {.length = 7, .tokens = 32768});
  ASSERT_TRUE(fewer);
  EXPECT_EQ(fewer->windows, 42);
}

TEST(CalibrationText, LinesAreThoseOfTheirPercent) {
  const std::string text = hundred_lines();
  auto part =
      tokens_of(text, {.length = 3, .tokens = 300, .first_percent = 20, .last_percent = 60});
  ASSERT_TRUE(part);
  EXPECT_EQ(part->ids, std::vector<int32_t>(text.begin() + 60, text.begin() + 180));
  CalibrationText expected = {
      "t.txt", 300, hash_bytes(std::as_bytes(std::span(text))), 20, 60, 20, 60, 100, 120};
  EXPECT_EQ(part->text, expected);
  auto read = text_from_json(text_to_json(expected));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, expected);
  // Three lines, the last without its end: 0 to 60 % is the first.
  auto first = tokens_of("a\nb\nc", {.length = 1, .tokens = 9, .last_percent = 60});
  ASSERT_TRUE(first);
  EXPECT_EQ(first->ids, (std::vector<int32_t>{'a', '\n'}));
  EXPECT_EQ(first->text.lines, 3);
}

TEST(CalibrationText, SpecialTokensInATextAreText) {
  auto tokens = tokens_of("<end><end>", {.length = 10, .tokens = 10});
  ASSERT_TRUE(tokens) << tokens.error().message;
  EXPECT_EQ(tokens->ids[0], '<');
}

TEST(CalibrationText, RefusesByName) {
  const auto message = [](const std::string& text, const CalibrationOptions& options) {
    auto r = tokens_of(text, options);
    return r ? "" : r.error().message;
  };
  EXPECT_EQ(message("", {}), "calibration text \"t.txt\" is empty");
  EXPECT_EQ(message("ab\xff", {}), "calibration text \"t.txt\" is not UTF-8 at byte 2");
  EXPECT_EQ(message("abc", {}),
            "calibration text \"t.txt\" has 3 tokens in lines 0 % to 100 %, a window takes 512");
  EXPECT_EQ(message("abc", {.length = 2, .tokens = 4, .last_percent = 60}),
            "calibration text \"t.txt\" has 0 tokens in lines 0 % to 60 %, a window takes 2");
  EXPECT_EQ(message("abc", {.length = 4, .tokens = 3}),
            "3 calibration tokens are less than a window of 4");
  EXPECT_NE(message("abc", {.first_percent = 60, .last_percent = 60}).find("60:60"),
            std::string::npos);
  EXPECT_NE(message("abc", {.last_percent = 101}).find("0:101"), std::string::npos);
  auto none = calibration_tokens("", "abc", "t.txt", {.length = 1, .tokens = 1});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message, "the model has no tokenizer.json, which calibration needs");
  EXPECT_FALSE(calibration_tokens("{}", "abc", "t.txt", {.length = 1, .tokens = 1}));
  auto gone = read_calibration(byte_tokenizer(), "/nonexistent/t.txt", {});
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, Code::io);
}

TEST(CalibrationText, ParsesLines) {
  CalibrationOptions options;
  ASSERT_TRUE(parse_lines("5:60", &options));
  EXPECT_EQ(options.first_percent, 5);
  EXPECT_EQ(options.last_percent, 60);
  EXPECT_TRUE(parse_lines("0:100", &options));
  for (const char* bad : {"", "60", "60:", ":60", "0:60x", "60:0", "60:60", "-1:60", "0:101",
                          "0:60 ", "0%:60%", "99999999999:1"})
    EXPECT_FALSE(parse_lines(bad, &options)) << bad;
}

TEST(CalibrationText, RefusesProvenanceThatIsNone) {
  const Json good = text_to_json({"t", 1, 2, 0, 60, 0, 3, 5, 7});
  ASSERT_TRUE(text_from_json(good));
  EXPECT_FALSE(text_from_json(Json::array()));
  for (const auto& item : good.items())
    for (const Json& bad : {Json(), Json("x"), Json(-1), Json(-1.5), Json::array({1}),
                            Json::array({1, "2"}), Json::array({-1, 2}), Json::object()}) {
      if (item.key() == "name" && bad.is_string()) continue;
      Json changed = good;
      changed[item.key()] = bad;
      EXPECT_FALSE(text_from_json(changed)) << changed;
    }
}

}  // namespace
}  // namespace sqf
