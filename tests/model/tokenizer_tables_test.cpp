// The tables of spec/tokenizer.md: what they are compiled to, that both roads give the same
// tokenizer, and that no bytes from outside lead a lookup astray.
#include "model/tokenizer_tables.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <random>

#include "model/tokenizer.hpp"
#include "model/tokenizer_compile.hpp"

namespace sqf {
namespace {

constexpr std::string_view kSmall = R"({
  "version": "1.0",
  "added_tokens": [{"id": 7, "content": "<s>", "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true}],
  "normalizer": null, "pre_tokenizer": null, "post_processor": null,
  "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "vocab": {"b": 1, "a": 0, "ab": 3, "c": 4, "abc": 6, "é": 5},
            "merges": ["a b", "ab c"]}})";

std::string table_data(const std::string& name) {
  std::ifstream file(std::string(SQF_TEST_DATA) + "/tokenizer/" + name, std::ios::binary);
  EXPECT_TRUE(file) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string compiled(std::string_view json) {
  auto section = compile_tokenizer(json);
  EXPECT_TRUE(section) << section.error().message;
  return section ? *section : std::string();
}

Result<Tokenizer> from_tables(const std::string& section) {
  return Tokenizer::from_tables(std::as_bytes(std::span(section)));
}

/// The arrays of a section, to be changed one by one.
struct Parts {
  std::vector<uint32_t> begin, first, right, rank, merged;
  std::string pool, rest;
  uint32_t empty_id = kNone;

  std::string section() const {
    auto bytes = write_tables({{begin, pool, empty_id}, {first, right, rank, merged}, rest});
    EXPECT_TRUE(bytes);
    return *bytes;
  }
};

Parts small_parts() {
  Parts parts;
  parts.begin = {0, 1, 2, 2, 4, 5, 7, 10};  // a b - ab c é abc
  parts.pool = "abab\u0063\u00e9abc";
  parts.first = {0, 1, 1, 1, 2, 2, 2, 2};
  parts.right = {1, 4};
  parts.rank = {0, 1};
  parts.merged = {3, 6};
  parts.rest = kSmall;
  const size_t vocab = parts.rest.find("{\"b\""), merges = parts.rest.find("[\"a b\"");
  parts.rest.replace(merges, parts.rest.find(']', merges) + 1 - merges, "[]");
  parts.rest.replace(vocab, parts.rest.find('}', vocab) + 1 - vocab, "{}");
  return parts;
}

TEST(TokenizerTables, AreWhatThePageSays) {
  EXPECT_EQ(compiled(kSmall) == small_parts().section(), true);
  const std::string section =
      compiled(R"({"model":{"type":"BPE","vocab":{"b":1,"a":0,"ab":3},"merges":["a b"]}})");
  constexpr std::string_view kRest = R"({"model":{"type":"BPE","vocab":{},"merges":[]}})";
  std::string expected;
  const auto add = [&](std::initializer_list<uint32_t> numbers) {
    for (const uint32_t number : numbers)
      expected.append(reinterpret_cast<const char*>(&number), sizeof number);
  };
  add({1, 4, 1, 4, 47, 0xffffffff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  add({0, 1, 2, 2, 4, 0});
  add({0, 1, 1, 1, 1, 0});
  add({1, 0, 0, 0, 3, 0});
  expected.append("abab\0\0\0\0", 8).append(kRest).append(1, '\0');
  EXPECT_EQ(section == expected, true);
}

TEST(TokenizerTables, KeepTheTextAroundThem) {
  // Keys in other spellings and order, look-alikes elsewhere, a heading, pairs as arrays, the same
  // pair again, and the empty token.
  constexpr std::string_view kOdd =
      R"( { "x":[{"model":{"vocab":"}\\"}}], "mo\u0064el" :{"merges" : [ "#version: 0.2", "a b",)"
      R"( ["b","a"],"a b" ] ,"y":"\"}{","vocab": {"":4,"b":1,"a":0,"ab":3,"ba":2} } , "z":1.50 } )";
  const std::string section = compiled(kOdd);
  const auto tables = read_tables(std::as_bytes(std::span(section)));
  ASSERT_TRUE(tables) << tables.error().message;
  EXPECT_EQ(tables->rest,
            R"( { "x":[{"model":{"vocab":"}\\"}}], "mo\u0064el" :{"merges" : [] ,"y":"\"}{",)"
            R"("vocab": {} } , "z":1.50 } )");
  EXPECT_EQ(tables->merges.find(0, 1).rank, 2u);
  EXPECT_EQ(tables->merges.find(0, 1).merged, 3);
  EXPECT_EQ(tables->merges.find(1, 0).rank, 1u);
  EXPECT_EQ(tables->merges.find(1, 0).merged, 2);
  EXPECT_EQ(tables->merges.find(1, 1).merged, -1);
  EXPECT_EQ(tables->merges.find(4, 0).merged, -1);
  EXPECT_EQ(tables->vocabulary.find(""), 4);
  EXPECT_TRUE(tables->vocabulary.contains(4));
  EXPECT_EQ(tables->vocabulary.size(), 5);
}

TEST(TokenizerTables, AreNotMadeOfWhatTheyCannotStandFor) {
  const std::pair<const char*, const char*> cases[] = {
      {R"([])", "the file is an array"},
      {R"({"model":{"vocab":{},"merges":[]}} x)", "not valid JSON"},
      {R"({"model":{"type":"Unigram","vocab":{},"merges":[]}})", "\"Unigram\" is not implemented"},
      {R"({"model":{"vocab":{}}})", "\"(none)\" is not implemented"},
      {R"({"model":{"merges":[]}})", "model.vocab is missing"},
      {R"({"model":{"vocab":{},"merges":[],"end_of_word_suffix":"_"}})", "end_of_word_suffix"},
      {R"({"model":{"vocab":{"a":16777216},"merges":[]}})", "not in 0..16777215"},
      {R"({"model":{"vocab":{"a":65540},"merges":[]}})", "too large for 1 tokens"},
      {R"({"model":{"vocab":{"a":0,"b":0},"merges":[]}})", "both have id 0"},
      {R"({"model":{"vocab":{"a":0,"a":0},"merges":[]}})", "\"a\" is there twice"},
      {R"({"model":{"vocab":{"a":0,"a":1},"merges":[]}})", "\"a\" is there twice"},
      {R"({"model":{"vocab":{"a":0},"merges":["a a"]}})", "names \"aa\""},
  };
  for (const auto& [json, message] : cases) {
    const auto section = compile_tokenizer(json);
    ASSERT_FALSE(section) << json;
    EXPECT_NE(section.error().message.find(message), std::string::npos) << section.error().message;
  }
  // What surrounds the tables is not their matter, but that of whoever uses them.
  const std::string section = compiled(R"({"model":{"vocab":{},"merges":[]},"decoder":7})");
  const auto tokenizer = from_tables(section);
  ASSERT_FALSE(tokenizer);
  EXPECT_EQ(tokenizer.error().message, "tokenizer.json: decoder is an integer, not an object");
}

class SameTokenizer : public testing::TestWithParam<const char*> {};

TEST_P(SameTokenizer, ByBothRoads) {
  const std::string json = table_data(std::string(GetParam()) + ".json");
  const std::string section = compiled(json);
  EXPECT_EQ(section == compiled(json), true);
  const auto a = Tokenizer::from_json(json);
  const auto b = from_tables(section);
  ASSERT_TRUE(a) << a.error().message;
  ASSERT_TRUE(b) << b.error().message;
  const std::string text = table_data("text.txt"), special = table_data("special.txt");
  EXPECT_EQ(*a->encode(text, false) == *b->encode(text, false), true);
  EXPECT_EQ(*a->encode(special, true) == *b->encode(special, true), true);
  EXPECT_EQ(*a->encode(special, false) == *b->encode(special, false), true);
  EXPECT_EQ(std::ranges::equal(a->prefix_ids(), b->prefix_ids()), true);
  ASSERT_EQ(a->vocab_size(), b->vocab_size());
  for (int32_t id = -1; id <= a->vocab_size(); ++id) {
    EXPECT_EQ(a->token_bytes(id), b->token_bytes(id));
    EXPECT_EQ(a->is_special(id), b->is_special(id));
  }
}

INSTANTIATE_TEST_SUITE_P(TokenizerTables, SameTokenizer,
                         testing::Values("gpt2", "smollm", "llama3", "qwen2", "qwen35", "gpt4o",
                                         "tekken", "deepseek", "llama2", "mistral", "metaspace",
                                         "gemma"),
                         [](const auto& test) { return std::string(test.param); });

TEST(TokenizerTables, OutliveTheTextTheyWereCompiledFrom) {
  auto first = Tokenizer::from_json(std::string(kSmall));
  ASSERT_TRUE(first) << first.error().message;
  const Tokenizer copy = *first;
  first = malformed("gone");
  EXPECT_EQ(*copy.encode("abcab<s>c", true), (std::vector<int32_t>{6, 3, 7, 4}));
}

/// A tokenizer that was let in must be usable, whatever it makes of the text.
void use(const Tokenizer& tokenizer) {
  const auto ids = tokenizer.encode("abcab<s>cé It's 12 \n abababcabc", true);
  if (!ids) return;
  StreamDecoder decoder(tokenizer);
  for (const int32_t id : *ids) decoder.push(id, true);
  decoder.finish();
  for (int32_t id = 0; id < std::min<int64_t>(tokenizer.vocab_size(), 100); ++id)
    if (const auto found = tokenizer.find(tokenizer.token_bytes(id))) {
      EXPECT_LT(*found, tokenizer.vocab_size());
    }
}

TEST(TokenizerTables, SurviveAnyWrongByte) {
  const std::string whole = compiled(kSmall);
  ASSERT_TRUE(from_tables(whole));
  int accepted = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int flip : {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff}) {
      std::string section = whole;
      section[at] = static_cast<char>(section[at] ^ flip);
      const auto tokenizer = from_tables(section);
      if (!tokenizer) {
        EXPECT_FALSE(tokenizer.error().message.empty());
        continue;
      }
      ++accepted;
      use(*tokenizer);
    }
    EXPECT_FALSE(from_tables(whole.substr(0, at))) << at << " bytes";
    EXPECT_FALSE(from_tables(whole + std::string(at + 1, '\0'))) << at + 1 << " too many";
  }
  EXPECT_GT(accepted, 0);  // a rank, a letter of the pool
}

TEST(TokenizerTables, SurviveWrongNumbersInRealOnes) {
  std::mt19937 random(1);
  for (const char* name : {"llama2", "qwen35", "metaspace"}) {
    const std::string whole = compiled(table_data(std::string(name) + ".json"));
    ASSERT_TRUE(from_tables(whole)) << name;
    int accepted = 0;
    for (int round = 0; round < 400; ++round) {
      std::string section = whole;
      uint32_t number = 0;
      const size_t at = random() % (section.size() / 4) * 4;
      std::memcpy(&number, section.data() + at, 4);
      const uint32_t others[] = {number + 1, number - 1, number ^ (1u << random() % 32), 0, kNone};
      std::memcpy(section.data() + at, &others[random() % 5], 4);
      const auto tokenizer = from_tables(section);
      if (!tokenizer) continue;
      ++accepted;
      use(*tokenizer);
    }
    EXPECT_GT(accepted, 0) << name;
  }
}

struct Damage {
  const char* message;  ///< behind "TOKB: "
  void (*change)(Parts&);
};

const Damage kDamage[] = {
    {"the texts do not fill the pool of 10 bytes", [](Parts& p) { p.begin[0] = 1; }},
    {"the texts do not fill the pool of 10 bytes", [](Parts& p) { p.begin[7] = 11; }},
    {"the texts do not fill the pool of 11 bytes", [](Parts& p) { p.pool += 'x'; }},
    {"the text of token 2 begins at byte 4000000000 and ends at 2",
     [](Parts& p) { p.begin[2] = 4000000000; }},
    {"the text of token 4 begins at byte 8 and ends at 5", [](Parts& p) { p.begin[4] = 8; }},
    {"the pool is not UTF-8 at byte 5", [](Parts& p) { p.pool[6] = 'x'; }},
    {"the text of token 6 begins inside a character", [](Parts& p) { p.begin[6] = 6; }},
    {"\"a\" is there twice", [](Parts& p) { p.pool[1] = 'a'; }},
    {"token 2000 is not the one without bytes", [](Parts& p) { p.empty_id = 2000; }},
    {"token 7 is not the one without bytes", [](Parts& p) { p.empty_id = 7; }},
    {"token 3 is not the one without bytes", [](Parts& p) { p.empty_id = 3; }},
    {"the last id, 6, has no token", [](Parts& p) { p.begin[6] = 10; }},
    {"the ids' merges are not the 2 there are", [](Parts& p) { p.first[0] = 1; }},
    {"the ids' merges are not the 2 there are", [](Parts& p) { p.first[7] = 3; }},
    {"the merges of token 3 begin at 3000000000 and end at 2",
     [](Parts& p) { p.first[3] = 3000000000; }},
    {"the merges of token 1 begin at 2 and end at 1", [](Parts& p) { p.first[1] = 2; }},
    {"id 2 has merges but no token", [](Parts& p) { p.first[3] = 2; }},
    {"merge 0 is of ids 0 and 7 to 3, which are not all tokens", [](Parts& p) { p.right[0] = 7; }},
    {"merge 0 is of ids 0 and 2 to 3, which are not all tokens", [](Parts& p) { p.right[0] = 2; }},
    {"merge 1 is of ids 3 and 4 to 4294967295, which are not all tokens",
     [](Parts& p) { p.merged[1] = kNone; }},
    {"merge 1 is of ids 3 and 4 to 2, which are not all tokens", [](Parts& p) { p.merged[1] = 2; }},
    {"merge 1 of token 0 is out of order",
     [](Parts& p) {
       p.first[1] = p.first[2] = p.first[3] = 2, p.right = {4, 1};
     }},
    {"merge 1 of token 0 is out of order",
     [](Parts& p) {
       p.first[1] = p.first[2] = p.first[3] = 2, p.right = {1, 1};
     }},
};

TEST(TokenizerTables, AreRefusedByName) {
  ASSERT_TRUE(from_tables(small_parts().section()));
  for (const Damage& damage : kDamage) {
    Parts parts = small_parts();
    damage.change(parts);
    const auto tokenizer = from_tables(parts.section());
    ASSERT_FALSE(tokenizer) << damage.message;
    EXPECT_EQ(tokenizer.error().message, std::string("TOKB: ") + damage.message);
    EXPECT_EQ(tokenizer.error().code, Code::malformed);
  }
}

TEST(TokenizerTables, AreRefusedForTheTextAroundThem) {
  const auto problem = [](std::string rest) {
    Parts parts = small_parts();
    parts.rest = std::move(rest);
    const auto tokenizer = from_tables(parts.section());
    return tokenizer ? "accepted" : tokenizer.error().message;
  };
  EXPECT_NE(problem("").find("TOKB: tokenizer.json: not valid JSON"), std::string::npos);
  EXPECT_NE(problem("{\"model\": ").find("TOKB: tokenizer.json: not valid JSON"),
            std::string::npos);
  EXPECT_EQ(problem("[]"), "tokenizer.json: the file is an array, not an object");
  EXPECT_EQ(problem("{}"), "tokenizer.json: model is missing");
  EXPECT_EQ(problem(R"({"model": {"type": "BPE", "vocab": {}}})"),
            "tokenizer.json: model.merges is missing");
  constexpr const char* kTwice =
      "TOKB: tokenizer.json: model.vocab and model.merges are not empty beside tables";
  EXPECT_EQ(problem(R"({"model": {"vocab": {"a": 0}, "merges": []}})"), kTwice);
  EXPECT_EQ(problem(R"({"model": {"vocab": {}, "merges": ["a b"]}})"), kTwice);
  EXPECT_EQ(problem(R"({"model": {"vocab": {}, "merges": []}})"),
            "tokenizer.json: no decoder, which is not implemented");
}

TEST(TokenizerTables, AreRefusedForTheirHeader) {
  const std::string whole = compiled(kSmall);
  const auto problem = [&](size_t at, uint32_t number) {
    std::string section = whole;
    std::memcpy(section.data() + at, &number, 4);
    const auto tokenizer = from_tables(section);
    return tokenizer ? "accepted" : tokenizer.error().message;
  };
  const std::string size = std::to_string(whole.size());
  EXPECT_EQ(problem(0, 2), "TOKB: version 2, not 1");
  EXPECT_EQ(problem(4, (1u << 24) + 1), "TOKB: 16777217 ids are more than 16777216");
  EXPECT_EQ(problem(60, 1), "TOKB: reserved bytes of the header are not zero");
  // 2^30 and 2^32 - 1 numbers of 4 bytes: sizes that 32 bits would lose.
  for (const uint32_t count : {1u << 30, kNone, 3u})
    for (const size_t at : {size_t{8}, size_t{12}, size_t{16}})
      EXPECT_TRUE(problem(at, count).starts_with("TOKB: " + size + " bytes, but the counts make"))
          << at << " " << count << ": " << problem(at, count);
  std::string padding = whole;
  padding[64 + 8 * 4 + 8 * 4 + 3 * 8 + 10] = 1;  // behind the pool
  EXPECT_EQ(from_tables(padding).error().message, "TOKB: padding is not zero");
  const std::string shifted = "x" + whole;
  const auto unaligned = Tokenizer::from_tables(std::as_bytes(std::span(shifted)).subspan(1));
  ASSERT_FALSE(unaligned);
  EXPECT_EQ(unaligned.error().code, Code::usage);
}

}  // namespace
}  // namespace sqf
