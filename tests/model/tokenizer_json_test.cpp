// What a tokenizer.json may not say, and how it is told so.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <random>

#include "model/tokenizer.hpp"

namespace sqf {
namespace {

constexpr std::string_view kBase = R"({
  "version": "1.0", "truncation": null, "padding": null,
  "added_tokens": [{"id": 5, "content": "<s>", "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true}],
  "normalizer": null,
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
  "post_processor": null,
  "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false,
            "byte_fallback": false, "vocab": {"a": 0, "b": 1, "ab": 2, "c": 3, "abc": 4},
            "merges": ["a b", "ab c"]}})";

Json base() {
  return Json::parse(kBase);
}

struct Case {
  const char* pointer;  ///< what of the base is replaced
  const char* value;
  Code code;
  const char* message;  ///< behind "tokenizer.json: "
};

void PrintTo(const Case& value, std::ostream* out) {
  *out << value.pointer << " = " << value.value;
}

constexpr Code kMalformed = Code::malformed;
constexpr Code kUnsupported = Code::unsupported;

const Case kModelCases[] = {
    {"/model", "null", kMalformed, "model is missing"},
    {"/model", "[]", kMalformed, "model is an array, not an object"},
    {"/model/type", "3", kMalformed, "model.type is an integer, not a string"},
    {"/model/type", "\"WordPiece\"", kUnsupported,
     "model of type \"WordPiece\" is not implemented"},
    {"/model", R"({"type": "Unigram", "vocab": [["a", -1.0]]})", kUnsupported,
     "model of type \"Unigram\" is not implemented"},
    {"/model/vocab", "null", kMalformed, "model.vocab is missing"},
    {"/model/vocab", "[]", kMalformed, "model.vocab is an array, not an object"},
    {"/model/vocab/a", "-1", kMalformed, "model.vocab: the id of \"a\" is not in 0..16777215"},
    {"/model/vocab/a", "16777216", kMalformed,
     "model.vocab: the id of \"a\" is not in 0..16777215"},
    {"/model/vocab/a", "18446744073709551615", kMalformed,
     "model.vocab: the id of \"a\" is not in 0..16777215"},
    {"/model/vocab/a", "16777215", kMalformed,
     "model.vocab: id 16777215 is too large for 5 tokens"},
    {"/model/vocab/a", "1", kMalformed, "model.vocab: \"a\" and \"b\" both have id 1"},
    {"/model/vocab/a", "\"0\"", kMalformed,
     "model.vocab: the id of \"a\" is a string, not an integer"},
    {"/model/vocab/a", "0.5", kMalformed,
     "model.vocab: the id of \"a\" is a number, not an integer"},
    {"/model/vocab/a", "[0]", kMalformed,
     "model.vocab: the id of \"a\" is an array, not an integer"},
    {"/model/vocab/a", "{}", kMalformed,
     "model.vocab: the id of \"a\" is an object, not an integer"},
    {"/model/vocab/a", "null", kMalformed, "model.vocab: the id of \"a\" is null, not an integer"},
    {"/model/merges", "null", kMalformed, "model.merges is missing"},
    {"/model/merges", "{}", kMalformed, "model.merges is an object, not an array"},
    {"/model/merges/1", "\"ab\"", kMalformed, "model.merges[1] is no pair of tokens"},
    {"/model/merges/1", "\"a b c\"", kMalformed, "model.merges[1] is no pair of tokens"},
    {"/model/merges/1", "[\"a\"]", kMalformed, "model.merges[1] is no pair of tokens"},
    {"/model/merges/0", "[\"a\", \"b\", \"c\"]", kMalformed,
     "model.merges[0] is no pair of tokens"},
    {"/model/merges/0", "[\"a\", 1]", kMalformed, "model.merges[0] is no pair of tokens"},
    {"/model/merges/0", "[[\"a\"], \"b\"]", kMalformed, "model.merges[0] is no pair of tokens"},
    {"/model/merges/0", "17", kMalformed, "model.merges[0] is no pair of tokens"},
    {"/model/merges/0", "{}", kMalformed, "model.merges[0] is no pair of tokens"},
    {"/model/merges/1", "\"ab x\"", kMalformed,
     "model.merges[1] names \"x\", which is not in model.vocab"},
    {"/model/merges/1", "[\"c\", \"c\"]", kMalformed,
     "model.merges[1] names \"cc\", which is not in model.vocab"},
    {"/model/dropout", "0.1", kUnsupported, "model.dropout is not implemented"},
    {"/model/dropout", "\"x\"", kMalformed, "model.dropout is a string, not a number"},
    {"/model/end_of_word_suffix", "\"</w>\"", kUnsupported,
     "model.end_of_word_suffix \"</w>\" is not implemented"},
    {"/model/continuing_subword_prefix", "\"##\"", kUnsupported,
     "model.continuing_subword_prefix \"##\" is not implemented"},
    {"/model/unk_token", "0", kMalformed, "model.unk_token is an integer, not a string"},
    {"/model/fuse_unk", "0", kMalformed, "model.fuse_unk is an integer, not a boolean"},
    {"/model/ignore_merges", "\"yes\"", kMalformed,
     "model.ignore_merges is a string, not a boolean"},
    {"/model/byte_fallback", "true", kMalformed,
     "model.byte_fallback is true but token <0x00> is not in model.vocab"},
};

const Case kPipelineCases[] = {
    {"/version", "\"2.0\"", kUnsupported, "version \"2.0\", not \"1.0\""},
    {"/normalizer", R"({"type": "Nmt"})", kUnsupported,
     "normalizer of type \"Nmt\" is not implemented"},
    {"/normalizer", R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "NFKC"}]})",
     kUnsupported, "normalizer.normalizers[1] of type \"NFKC\" is not implemented"},
    {"/normalizer", R"({"type": "Sequence"})", kMalformed, "normalizer.normalizers is missing"},
    {"/normalizer", R"("NFC")", kMalformed, "normalizer is a string, not an object"},
    {"/normalizer", R"({"type": "Prepend"})", kMalformed, "normalizer.prepend is missing"},
    {"/normalizer", R"({"type": "Replace", "pattern": {"Regex": " +"}, "content": "x"})",
     kUnsupported, "normalizer by a regular expression is not implemented: \" +\""},
    {"/normalizer", R"({"type": "Replace", "pattern": {"String": ""}, "content": "x"})", kMalformed,
     "normalizer.pattern.String is empty"},
    {"/pre_tokenizer", R"({"type": "Whitespace"})", kUnsupported,
     "pre_tokenizer of type \"Whitespace\" is not implemented"},
    {"/pre_tokenizer",
     R"({"type": "Split", "pattern": {"Regex": "\\w+|x"}, "behavior": "Isolated"})", kUnsupported,
     "pre_tokenizer.pattern.Regex is none of the known expressions: \"\\\\w+|x\""},
    {"/pre_tokenizer", R"({"type": "Split", "pattern": {"String": " "}, "behavior": "Glued"})",
     kMalformed, "pre_tokenizer.behavior \"Glued\" does not exist"},
    {"/pre_tokenizer", R"({"type": "Split", "pattern": "x", "behavior": "Isolated"})", kMalformed,
     "pre_tokenizer.pattern is a string, not an object"},
    {"/pre_tokenizer/use_regex", "1", kMalformed,
     "pre_tokenizer.use_regex is an integer, not a boolean"},
    {"/pre_tokenizer", R"({"type": "Metaspace", "replacement": "ab"})", kMalformed,
     "pre_tokenizer.replacement is not one character"},
    {"/pre_tokenizer", R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "maybe"})",
     kMalformed, "pre_tokenizer.prepend_scheme \"maybe\" does not exist"},
    {"/decoder", "null", kUnsupported, "no decoder, which is not implemented"},
    {"/decoder", R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "maybe"})",
     kMalformed, "decoder.prepend_scheme \"maybe\" does not exist"},
    {"/decoder", R"({"type": "WordPiece"})", kUnsupported,
     "decoder of type \"WordPiece\" is not implemented"},
    {"/decoder",
     R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteFallback"}]})",
     kUnsupported,
     "decoder.decoders[1]: a decoder of type \"ByteFallback\" at this place is not implemented"},
    {"/post_processor", R"({"type": "BertProcessing"})", kUnsupported,
     "post_processor of type \"BertProcessing\" is not implemented"},
    {"/post_processor", R"({"type": "TemplateProcessing", "single": []})", kMalformed,
     "post_processor.single does not hold sequence A once"},
    {"/post_processor",
     R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
         {"Sequence": {"id": "A", "type_id": 0}}],
         "special_tokens": {"<s>": {"id": "<s>", "ids": [6], "tokens": ["<s>"]}}})",
     kMalformed, "post_processor.special_tokens.<s>.ids[0] is no token's id"},
    {"/post_processor",
     R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<x>", "type_id": 0}}],
         "special_tokens": {}})",
     kMalformed, "post_processor.special_tokens.<x> is missing"},
    {"/added_tokens", "{}", kMalformed, "added_tokens is an object, not an array"},
    {"/added_tokens/0", "1", kMalformed, "added_tokens[0] is an integer, not an object"},
    {"/added_tokens/0/id", "-1", kMalformed, "added_tokens[0].id is -1, not in 0..16777215"},
    {"/added_tokens/0/id", "\"5\"", kMalformed, "added_tokens[0].id is a string, not an integer"},
    {"/added_tokens/0/special", "null", kMalformed, "added_tokens[0].special is missing"},
    {"/added_tokens/0/lstrip", "0", kMalformed,
     "added_tokens[0].lstrip is an integer, not a boolean"},
    {"/added_tokens/0/content", "\"\"", kMalformed, "added_tokens[0].content is empty"},
    {"/added_tokens/0/content", "null", kMalformed, "added_tokens[0].content is missing"},
    {"/added_tokens/0/id", "2", kMalformed,
     "added token \"<s>\" has id 2, which model.vocab gives to \"ab\""},
    {"/added_tokens/0/content", "\"ab\"", kMalformed,
     "added token \"ab\" has id 5, but in model.vocab it has 2"},
};

class Refuses : public testing::TestWithParam<Case> {};

TEST_P(Refuses, ByName) {
  const Case& wrong = GetParam();
  Json json = base();
  json[Json::json_pointer(wrong.pointer)] = Json::parse(wrong.value);
  const auto tokenizer = Tokenizer::from_json(json.dump());
  ASSERT_FALSE(tokenizer);
  EXPECT_EQ(tokenizer.error().message, "tokenizer.json: " + std::string(wrong.message));
  EXPECT_EQ(tokenizer.error().code, wrong.code);
}

INSTANTIATE_TEST_SUITE_P(Model, Refuses, testing::ValuesIn(kModelCases));
INSTANTIATE_TEST_SUITE_P(Pipeline, Refuses, testing::ValuesIn(kPipelineCases));

std::string problem(std::string_view text) {
  auto tokenizer = Tokenizer::from_json(text);
  return tokenizer ? "accepted" : tokenizer.error().message;
}

std::string with(std::string_view old, std::string_view replacement) {
  std::string text(kBase);
  const size_t at = text.find(old);
  EXPECT_NE(at, std::string::npos);
  return text.replace(at, old.size(), replacement);
}

TEST(TokenizerJson, ReadsTheBase) {
  auto tokenizer = Tokenizer::from_json(kBase);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ(*tokenizer->encode("abcab<s>c", true), (std::vector<int32_t>{4, 2, 5, 3}));
  EXPECT_EQ(tokenizer->vocab_size(), 6);
  // The vocabulary may come behind the merges, and merges may have the heading of merges.txt.
  const std::string vocab = R"("vocab": {"a": 0, "b": 1, "ab": 2, "c": 3, "abc": 4})";
  const std::string merges = R"("merges": ["a b", "ab c"])";
  std::string swapped = with(vocab, "VOCAB");
  swapped.replace(swapped.find(merges), merges.size(), vocab);
  swapped.replace(swapped.find("VOCAB"), 5, R"("merges": ["#version: 0.2", "a b", "ab c"])");
  tokenizer = Tokenizer::from_json(swapped);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ(*tokenizer->encode("abcab", true), (std::vector<int32_t>{4, 2}));
}

TEST(TokenizerJson, IsStrictJson) {
  EXPECT_EQ(problem("[]"), "tokenizer.json: the file is an array, not an object");
  EXPECT_NE(problem("").find("not valid JSON at byte"), std::string::npos);
  EXPECT_NE(problem(kBase.substr(0, 600)).find("not valid JSON at byte"), std::string::npos);
  EXPECT_NE(problem(std::string(kBase) + "{}").find("not valid JSON"), std::string::npos);
  EXPECT_EQ(problem("\xEF\xBB\xBF{}"), "tokenizer.json: starts with a byte order mark");
  EXPECT_EQ(problem(with("\"b\": 1", "\"a\": 1")),
            "tokenizer.json: model.vocab: \"a\" is there twice");
  EXPECT_EQ(problem(with("\"fuse_unk\"", "\"type\"")), "tokenizer.json: duplicate key \"type\"");
  EXPECT_EQ(problem(with("\"fuse_unk\": false", "\"vocab\": {}")),
            "tokenizer.json: duplicate key \"vocab\"");
  EXPECT_EQ(problem(with("\"padding\": null", "\"padding\": " + std::string(100, '['))),
            "tokenizer.json: nesting deeper than 64");
  EXPECT_NE(problem(with("<s>", "<\\ud800>")).find("not valid JSON"), std::string::npos);
  EXPECT_NE(problem(with("<s>", "<\xFF>")).find("not valid JSON"), std::string::npos);
}

TEST(TokenizerJson, BoundsWhatAFileCanAskFor) {
  Json json = base();
  json["added_tokens"][0]["content"] = std::string(513, 'x');
  EXPECT_EQ(problem(json.dump()),
            "tokenizer.json: added_tokens[0].content is longer than 512 bytes");
  json = base();
  json["added_tokens"].push_back(json["added_tokens"][0]);
  EXPECT_EQ(problem(json.dump()), "tokenizer.json: added_tokens has id 5 twice");
  json["added_tokens"][1]["id"] = 6;
  EXPECT_EQ(problem(json.dump()), "tokenizer.json: added_tokens has \"<s>\" twice");
  // Each step makes two spaces of one; sixteen of them would make 65536.
  json = base();
  Json steps = Json::array();
  for (int i = 0; i < 16; ++i)
    steps.push_back(Json::parse(R"({"type":"Replace","pattern":{"String":" "},"content":"  "})"));
  json["normalizer"] = {{"type", "Sequence"}, {"normalizers", steps}};
  auto tokenizer = Tokenizer::from_json(json.dump());
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const auto ids = tokenizer->encode(std::string(10000, ' '), false);
  ASSERT_FALSE(ids);
  EXPECT_NE(ids.error().message.find("normalizer grows 10000 bytes"), std::string::npos);
}

TEST(TokenizerJson, AsksForTheUnknownTokenOnlyWhenItIsNeeded) {
  Json json = base();
  json["model"]["unk_token"] = "<none>";
  auto tokenizer = Tokenizer::from_json(json.dump());
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_TRUE(tokenizer->encode("abc", false));
  const auto ids = tokenizer->encode("xyz", false);
  ASSERT_FALSE(ids);
  EXPECT_EQ(ids.error().message,
            "tokenizer.json: model.unk_token \"<none>\" is needed for a character but is not in "
            "model.vocab");
}

// Damage anywhere in real files: refused, or read and usable; never a crash (the dev build looks).
TEST(TokenizerJson, SurvivesDamage) {
  std::mt19937 random(1);
  for (const char* name : {"llama2", "qwen35", "deepseek", "metaspace"}) {
    std::ifstream file(std::string(SQF_TEST_DATA) + "/tokenizer/" + name + ".json");
    const std::string whole{std::istreambuf_iterator<char>(file), {}};
    ASSERT_FALSE(whole.empty());
    // Most of the file is vocabulary; what stands before it and at its end is where structure is.
    const size_t head = whole.find("\"vocab\"");
    int accepted = 0;
    for (int round = 0; round < 300; ++round) {
      std::string text = whole;
      const auto below = [&](size_t n) { return random() % n; };
      const size_t at = round % 3 == 0 ? below(text.size()) : below(head);
      if (round % 2 == 0) {
        text[at] = "\"{}[]:,0\\ \xC3"[below(11)];
      } else {
        text.erase(at, 1 + below(8));
      }
      auto tokenizer = Tokenizer::from_json(text);
      if (!tokenizer) {
        EXPECT_FALSE(tokenizer.error().message.empty());
        continue;
      }
      ++accepted;
      if (auto ids = tokenizer->encode("It's 123 étoile <tag>\n  中文", true)) {
        StreamDecoder decoder(*tokenizer);
        for (const int32_t id : *ids) decoder.push(id);
      }
    }
    EXPECT_GT(accepted, 0) << name;
  }
}

}  // namespace
}  // namespace sqf
