// The strict JSON door: what other readers accept and this one refuses.
#include "format/json.hpp"

#include <gtest/gtest.h>

namespace sqf {
namespace {

std::string problem(std::string_view text) {
  auto result = parse_json(text, "x.json");
  return result ? "accepted" : result.error().message;
}

TEST(Json, ReadsWhatJsonAllows) {
  auto result = parse_json(R"( {"a":[1,-2,3.5,true,null,"é\u00e9"],"b":{"c":{}}} )", "x.json");
  ASSERT_TRUE(result);
  EXPECT_EQ((*result)["a"][5], "éé");
  EXPECT_EQ((*result)["a"][1], -2);
  EXPECT_TRUE((*result)["b"]["c"].empty());
}

TEST(Json, RefusesWhatReadersDifferOn) {
  EXPECT_NE(problem(R"({"a":1,"a":2})").find("duplicate key \"a\""), std::string::npos);
  EXPECT_NE(problem(R"({"b":{"a":1,"\u0061":2}})").find("duplicate key"), std::string::npos);
  EXPECT_NE(problem("\xEF\xBB\xBF{}").find("byte order mark"), std::string::npos);
  EXPECT_NE(problem("{} {}").find("x.json"), std::string::npos);
  EXPECT_NE(problem("[1e999]").find("out of range"), std::string::npos);
  EXPECT_NE(problem("[NaN]").find("not valid JSON"), std::string::npos);
  EXPECT_NE(problem("[\"\xC3\x28\"]").find("not valid JSON"), std::string::npos);
  EXPECT_NE(problem("").find("not valid JSON"), std::string::npos);
}

TEST(Json, ShowsNothingATerminalWouldObey) {
  EXPECT_EQ(problem("{\"\\u001b[2J\":1,\"\\u001b[2J\":2}"), "x.json: duplicate key \"\\x1b[2J\"");
  for (const char* text : {"\x1b[2J", "[\"\x1b", "[\xff"})
    for (const char byte : problem(text)) EXPECT_TRUE(byte >= 0x20 && byte < 0x7f) << text;
}

TEST(Json, BoundsNestingWithoutUsingTheStack) {
  EXPECT_EQ(problem(std::string(16, '[') + std::string(16, ']')), "accepted");
  EXPECT_NE(problem(std::string(17, '[') + std::string(17, ']')).find("nesting"),
            std::string::npos);
  EXPECT_NE(problem(std::string(1000000, '[')).find("nesting"), std::string::npos);
}

/// A small object takes fifty times the memory of its text: the number of values is what bounds it.
TEST(Json, BoundsTheNumberOfValues) {
  const auto list = [](size_t n) {
    std::string text = "[0";
    for (size_t i = 1; i < n; i++) text += ",0";
    return text + "]";
  };
  EXPECT_TRUE(parse_json(list(9), "x", {.values = 10}));
  EXPECT_FALSE(parse_json(list(10), "x", {.values = 10}));
  EXPECT_FALSE(parse_json("[[[]]]", "x", {.values = 2}));
  EXPECT_TRUE(parse_json(R"({"a":{"b":null}})", "x", {.values = 3}));
  EXPECT_FALSE(parse_json(R"({"a":{"b":null}})", "x", {.values = 2}));
  EXPECT_TRUE(parse_json(list((size_t{1} << 20) - 1), "x"));
  EXPECT_FALSE(parse_json(list(size_t{1} << 20), "x"));
}

TEST(Json, RefusesNulBytes) {
  EXPECT_FALSE(parse_json(std::string_view("{}\0", 3), "x"));
  EXPECT_FALSE(parse_json(std::string_view("{}\0junk", 7), "x"));
  EXPECT_FALSE(parse_json(std::string_view("\0{}", 3), "x"));
  EXPECT_TRUE(parse_json("\"\\u0000\"", "x"));
}

}  // namespace
}  // namespace sqf
