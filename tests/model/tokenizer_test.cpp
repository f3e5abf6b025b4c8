// Ids and text against what the tokenizers library gave (tests/data/tokenizer/make_ids.py).
#include "model/tokenizer.hpp"
#include "format/text.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "model/unicode.hpp"

namespace sqf {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string data(const std::string& name) {
  return read_file(std::string(SQF_TEST_DATA) + "/tokenizer/" + name);
}

Tokenizer load(const std::string& text) {
  auto tokenizer = Tokenizer::from_json(text);
  if (!tokenizer) {
    ADD_FAILURE() << tokenizer.error().message;
    std::abort();
  }
  return *std::move(tokenizer);
}

Tokenizer load_data(const std::string& name) {
  return load(data(name + ".json"));
}

/// The three lists of a file of ids: text, special text parsed, special text as ordinary text.
std::vector<std::vector<int32_t>> expected_ids(const std::string& name) {
  const std::string bytes = data(name + ".ids");
  std::vector<std::vector<int32_t>> lists;
  size_t at = 0;
  while (at + 4 <= bytes.size()) {
    uint32_t n = 0;
    std::memcpy(&n, bytes.data() + at, 4);
    at += 4;
    auto& list = lists.emplace_back();
    for (uint32_t i = 0; i < n; ++i, at += 2) {
      uint16_t id = 0;
      std::memcpy(&id, bytes.data() + at, 2);
      list.push_back(id);
    }
  }
  EXPECT_EQ(at, bytes.size());
  EXPECT_EQ(lists.size(), 3u);
  return lists;
}

void expect_ids(const Tokenizer& tokenizer, std::string_view text, bool parse_special,
                const std::vector<int32_t>& expected) {
  const auto ids = tokenizer.encode(text, parse_special);
  ASSERT_TRUE(ids) << ids.error().message;
  const auto [mine, theirs] =
      std::mismatch(ids->begin(), ids->end(), expected.begin(), expected.end());
  EXPECT_EQ(*ids == expected, true) << "first difference at token " << mine - ids->begin() << " of "
                                    << ids->size() << ", expected " << expected.size();
}

void expect_all(const Tokenizer& tokenizer, const std::string& name) {
  const auto expected = expected_ids(name);
  expect_ids(tokenizer, data("text.txt"), false, expected[0]);
  expect_ids(tokenizer, data("special.txt"), true, expected[1]);
  expect_ids(tokenizer, data("special.txt"), false, expected[2]);
}

std::string stream(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                   bool show_special = false) {
  StreamDecoder decoder(tokenizer);
  std::string text;
  for (const int32_t id : ids) {
    const std::string shown = decoder.push(id, show_special);
    EXPECT_FALSE(find_invalid_utf8(shown)) << "half a character was let out";
    text += shown;
  }
  return text + decoder.finish();
}

std::vector<int32_t> encode(const Tokenizer& tokenizer, std::string_view text,
                            bool parse_special = false) {
  auto ids = tokenizer.encode(text, parse_special);
  EXPECT_TRUE(ids) << ids.error().message;
  return ids ? *ids : std::vector<int32_t>{};
}

class Family : public testing::TestWithParam<const char*> {};

TEST_P(Family, GivesTheIdsOfTheReference) {
  expect_all(load_data(GetParam()), GetParam());
}

TEST_P(Family, DecodesWhatItEncoded) {
  const std::string name = GetParam();
  const Tokenizer tokenizer = load_data(name);
  // Without byte fallback most of the text is unknown tokens, which nothing brings back.
  std::string text = name == "metaspace" ? "the kettle is  late" : data("text.txt");
  const auto ids = encode(tokenizer, text);
  if (name.starts_with("qwen")) text = nfc(text);
  EXPECT_EQ(stream(tokenizer, ids) == text, true);
  std::string joined;
  for (const int32_t id : ids) joined += tokenizer.token_bytes(id);
  if (name == "llama2" || name == "mistral" || name == "metaspace") text.insert(text.begin(), ' ');
  EXPECT_EQ(joined == text, true);
}

TEST_P(Family, TakesTheEmptyTextAndSingleCharacters) {
  const Tokenizer tokenizer = load_data(GetParam());
  EXPECT_TRUE(encode(tokenizer, "").empty());
  EXPECT_FALSE(encode(tokenizer, "a").empty());
  EXPECT_FALSE(encode(tokenizer, " ").empty());
  EXPECT_FALSE(encode(tokenizer, std::string_view("\0", 1)).empty());
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, Family,
                         testing::Values("gpt2", "smollm", "llama3", "qwen2", "qwen35", "gpt4o",
                                         "tekken", "deepseek", "llama2", "mistral", "metaspace",
                                         "gemma"),
                         [](const auto& test) { return std::string(test.param); });

TEST(Tokenizer, GivesTheIdsOfSmolLM2) {
  const char* folder = std::getenv("SQF_SMOLLM2");
  if (folder == nullptr) GTEST_SKIP() << "SQF_SMOLLM2 names no folder";
  const Tokenizer tokenizer = load(read_file(std::string(folder) + "/tokenizer.json"));
  EXPECT_EQ(tokenizer.vocab_size(), 49152);
  EXPECT_TRUE(tokenizer.prefix_ids().empty());
  expect_all(tokenizer, "smollm2");
  EXPECT_EQ(encode(tokenizer, "<|im_start|>", true), std::vector<int32_t>{1});
  EXPECT_GT(encode(tokenizer, "<|im_start|>", false).size(), 1u);
}

TEST(Tokenizer, NamesTheByteThatIsNotUtf8) {
  const Tokenizer tokenizer = load_data("gpt2");
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"abc\xff", "byte 3"},      {"\xC3\xA9\xC3", "byte 2"},       {"a\xC0\xAF", "byte 1"},
      {"\xED\xA0\x80", "byte 0"}, {"ab\xF4\x90\x80\x80", "byte 2"}, {"x\xE2\x82", "byte 1"},
  };
  for (const auto& [text, where] : cases) {
    const auto ids = tokenizer.encode(text, false);
    ASSERT_FALSE(ids);
    EXPECT_EQ(ids.error().message, std::string("text is not UTF-8 at ").append(where));
    EXPECT_EQ(ids.error().code, Code::malformed);
  }
}

TEST(Tokenizer, KnowsItsSpecialTokens) {
  const Tokenizer llama3 = load_data("llama3");
  const int32_t bos = *llama3.find("<|bos|>");
  ASSERT_EQ(llama3.prefix_ids().size(), 1u);
  EXPECT_EQ(llama3.prefix_ids()[0], bos);
  EXPECT_TRUE(llama3.suffix_ids().empty());
  EXPECT_TRUE(llama3.is_special(bos));
  EXPECT_FALSE(llama3.is_special(*llama3.find("<tag>")));  // added, but not special
  EXPECT_FALSE(llama3.is_special(-1));
  EXPECT_FALSE(llama3.is_special(1 << 30));
  EXPECT_EQ(llama3.token_bytes(bos), "<|bos|>");
  EXPECT_EQ(llama3.token_bytes(-5), "");
  EXPECT_EQ(llama3.find("no such token"), std::nullopt);
  EXPECT_EQ(llama3.vocab_size() - 1, *llama3.find("étoile"));

  const Tokenizer llama2 = load_data("llama2");
  ASSERT_EQ(llama2.prefix_ids().size(), 1u);
  EXPECT_EQ(llama2.prefix_ids()[0], 1);
  EXPECT_EQ(llama2.token_bytes(*llama2.find("<0x0A>")), "\n");
  EXPECT_EQ(llama2.token_bytes(*llama2.find("▁")), " ");
}

TEST(Tokenizer, LeavesSpecialTextInUserTextAlone) {
  const Tokenizer tokenizer = load_data("llama3");
  const int32_t eot = *tokenizer.find("<|eot|>");
  const auto parsed = encode(tokenizer, "a<|eot|>b", true);
  const auto plain = encode(tokenizer, "a<|eot|>b", false);
  EXPECT_EQ(std::count(parsed.begin(), parsed.end(), eot), 1);
  EXPECT_EQ(std::count(plain.begin(), plain.end(), eot), 0);
  EXPECT_EQ(stream(tokenizer, plain), "a<|eot|>b");
  EXPECT_EQ(stream(tokenizer, parsed), "ab");
  EXPECT_EQ(stream(tokenizer, parsed, true), "a<|eot|>b");
}

TEST(StreamDecoder, HoldsBackHalfCharacters) {
  const Tokenizer tokenizer = load_data("llama2");
  StreamDecoder decoder(tokenizer);
  const auto byte = [&](const char* name) { return *tokenizer.find(name); };
  EXPECT_EQ(decoder.push(byte("<0xF0>")), "");
  EXPECT_EQ(decoder.push(byte("<0x9F>")), "");
  EXPECT_EQ(decoder.push(byte("<0x99>")), "");
  EXPECT_EQ(decoder.push(byte("<0x82>")), "🙂");
  EXPECT_EQ(decoder.push(byte("<0xC3>")), "");
  // What can no longer become a character is one U+FFFD, and what follows it is kept.
  EXPECT_EQ(decoder.push(*tokenizer.find("a")), "\uFFFDa");
  EXPECT_EQ(decoder.push(byte("<0xFF>")), "\uFFFD");
  EXPECT_EQ(decoder.push(byte("<0xE2>")), "");
  EXPECT_EQ(decoder.push(byte("<0x82>")), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoder, TakesTheFirstSpaceOffOnlyWhereATextBegins) {
  for (const char* name : {"llama2", "mistral", "metaspace"}) {
    const Tokenizer tokenizer = load_data(name);
    const auto ids = encode(tokenizer, "the kettle");
    EXPECT_EQ(stream(tokenizer, ids), "the kettle") << name;
    StreamDecoder going_on(tokenizer, StreamDecoder::Place::continuation);
    std::string text;
    for (const int32_t id : ids) text += going_on.push(id);
    EXPECT_EQ(text, " the kettle") << name;
  }
  const Tokenizer gpt2 = load_data("gpt2");
  EXPECT_EQ(stream(gpt2, encode(gpt2, " a")), " a");
}

// Each of these texts is quadratic work (10^11 steps) for an encoder that is not careful: one
// that rescans a word for each merge, a run for each character, or sorts marks by insertion.
TEST(Tokenizer, TakesLongRunsWithoutQuadraticWork) {
  constexpr size_t kLength = 300'000;
  const auto repeat = [](std::string_view unit, std::string_view first = "") {
    std::string text(first);
    while (text.size() < kLength) text += unit;
    return text;
  };
  const std::string marks = repeat("\u0301\u0316", "a");
  for (const char* name : {"gpt2", "llama3", "gpt4o", "llama2"}) {
    const Tokenizer tokenizer = load_data(name);
    for (const std::string& text :
         {repeat("a"), repeat(" "), repeat("A"), repeat("\n "), repeat("<"), repeat("word")})
      EXPECT_EQ(stream(tokenizer, encode(tokenizer, text, true)).size(), text.size()) << name;
  }
  const Tokenizer qwen2 = load_data("qwen2");
  EXPECT_EQ(stream(qwen2, encode(qwen2, marks)) == nfc(marks), true);
  const auto spaces = encode(qwen2, repeat(" ", "<right>"), true);
  EXPECT_EQ(spaces, std::vector<int32_t>{*qwen2.find("<right>")});
}

TEST(Unicode, ComposesInCanonicalOrder) {
  EXPECT_EQ(nfc("plain"), "plain");
  EXPECT_EQ(nfc("e\u0301"), "é");
  EXPECT_EQ(nfc("a\u0301\u0316"), "á\u0316");
  EXPECT_EQ(nfc("\u1112\u1161\u11ab"), "한");
  EXPECT_EQ(nfc("\u212b\u0958"), "Å\u0915\u093c");
  EXPECT_EQ(nfc("\u0344"), "\u0308\u0301");
  EXPECT_EQ(nfc(std::string_view("\0e\u0301", 4)), std::string_view("\0é", 3));
}

}  // namespace
}  // namespace sqf
