// GGUF tokenizer fields made into tokenizer.json, for each family that is known.
#include "converter/gguf_tokenizer.hpp"

#include <gtest/gtest.h>

#include <functional>

#include "tests/converter/inputs.hpp"

namespace sqf {
namespace {

Result<GgufTokenizer> tokenizer_of(GgufBuilder in, int64_t vocabulary = 4096) {
  const std::string bytes = add_embedding(in).bytes();
  Result<GgufFile> file = read_gguf(as_bytes(bytes), "t.gguf");
  if (!file) return file.error();
  return read_gguf_tokenizer(*file, vocabulary, "t.gguf");
}

/// Four letters, two merges, one control token.
GgufBuilder byte_level(std::string_view pre) {
  GgufBuilder out;
  out.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", pre);
  out.texts("tokenizer.ggml.tokens", {"a", "b", "c", "ab", "abc", "<|end|>"});
  out.numbers<int32_t>("tokenizer.ggml.token_type", 5, {1, 1, 1, 1, 1, 3});
  out.texts("tokenizer.ggml.merges", {"a b", "ab c"});
  out.u32("tokenizer.ggml.eos_token_id", 5);
  return out;
}

TEST(GgufTokenizer, ByteLevelFamilies) {
  const Json end = {{"id", 5},         {"content", "<|end|>"}, {"single_word", false},
                    {"lstrip", false}, {"rstrip", false},      {"normalized", false},
                    {"special", true}};
  for (const char* pre : {"gpt-2", "smollm", "qwen2"}) {
    Result<GgufTokenizer> made = tokenizer_of(byte_level(pre));
    ASSERT_TRUE(made) << made.error().message;
    const Json json = Json::parse(made->tokenizer_json);
    EXPECT_EQ(json["model"]["merges"], Json::parse(R"([["a","b"],["ab","c"]])"));
    EXPECT_EQ(json["model"]["vocab"]["abc"], 4);
    EXPECT_EQ(json["model"]["ignore_merges"], false);
    EXPECT_EQ(json["added_tokens"], Json::array({end}));
    EXPECT_TRUE(json["post_processor"].is_null());
    EXPECT_EQ(json["normalizer"].is_null(), std::string(pre) != "qwen2");
    EXPECT_EQ(made->tokenizer_config["eos_token"], "<|end|>");
    EXPECT_EQ(made->generation_config["eos_token_id"], 5);
    EXPECT_FALSE(made->generation_config.contains("bos_token_id"));
  }
}

TEST(GgufTokenizer, Llama3AddsItsFirstToken) {
  GgufBuilder in = byte_level("llama-bpe");
  in.u32("tokenizer.ggml.bos_token_id", 5).u32("tokenizer.ggml.eot_token_id", 4);
  Result<GgufTokenizer> made = tokenizer_of(in);
  ASSERT_TRUE(made) << made.error().message;
  const Json json = Json::parse(made->tokenizer_json);
  EXPECT_EQ(json["model"]["ignore_merges"], true);
  const Json first = Json::parse(R"({"SpecialToken":{"id":"<|end|>","type_id":0}})");
  EXPECT_EQ(json["post_processor"]["single"][0], first);
  EXPECT_EQ(json["post_processor"]["pair"].size(), 4u);
  EXPECT_EQ(json["post_processor"]["special_tokens"]["<|end|>"]["ids"], Json::array({5}));
  EXPECT_EQ(made->generation_config["eos_token_id"], Json::array({5, 4}));
  in.flag("tokenizer.ggml.add_bos_token", false);
  EXPECT_TRUE(Json::parse(tokenizer_of(in)->tokenizer_json)["post_processor"].is_null());
}

/// A SentencePiece vocabulary: specials, all byte tokens, letters, and pieces with scores.
struct Pieces {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<float> scores = {0, 0, 0};
  std::vector<int32_t> kinds = {2, 3, 3};

  Pieces() {
    for (int i = 0; i < 256; ++i) {
      char text[8];
      std::snprintf(text, sizeof text, "<0x%02X>", i);
      add(text, 0, 6);
    }
    // Lengths and scores chosen so that every rule of the order decides somewhere.
    for (const char* letter : {"a", "b", "c", "\xe2\x96\x81", "\xc3\xa9"}) add(letter, -9, 1);
    add("ab", -2, 1);
    add("bc", -2, 1);
    add("abc", -1, 1);
    add("\xe2\x96\x81\xc3\xa9", -2, 1);
    add("\xe2\x96\x81\xc3\xa9"
        "a",
        -2, 1);
    add("\xc3\xa9"
        "a",
        -3, 1);
  }
  void add(const std::string& text, float score, int32_t kind) {
    tokens.push_back(text);
    scores.push_back(score);
    kinds.push_back(kind);
  }
  GgufBuilder build() const {
    GgufBuilder out;
    out.text("tokenizer.ggml.model", "llama").texts("tokenizer.ggml.tokens", tokens);
    out.numbers("tokenizer.ggml.scores", 6, scores);
    out.numbers("tokenizer.ggml.token_type", 5, kinds);
    return out;
  }
};

TEST(GgufTokenizer, SentencePieceMergesFollowTheScores) {
  Result<GgufTokenizer> made = tokenizer_of(Pieces().build());
  ASSERT_TRUE(made) << made.error().message;
  const Json json = Json::parse(made->tokenizer_json);
  // What transformers 5.23's generate_merges gives for the same pieces.
  EXPECT_EQ(json["model"]["merges"],
            Json::parse(R"([["ab","c"],["a","bc"],["▁é","a"],["▁","éa"],["a","b"],["b","c"],)"
                        R"(["▁","é"],["é","a"]])"));
  EXPECT_EQ(json["model"]["byte_fallback"], true);
  EXPECT_EQ(json["model"]["unk_token"], "<unk>");
  EXPECT_EQ(json["model"]["fuse_unk"], true);
  EXPECT_EQ(json["added_tokens"].size(), 3u);
  EXPECT_EQ(json["normalizer"]["normalizers"][0]["type"], "Prepend");
  EXPECT_EQ(json["decoder"]["decoders"].size(), 4u);
  EXPECT_EQ(json["post_processor"]["single"][0]["SpecialToken"]["id"], "<s>");
  EXPECT_EQ(made->generation_config, Json::parse(R"({"bos_token_id":1,"eos_token_id":2})"));
  GgufBuilder plain = Pieces().build();
  plain.flag("tokenizer.ggml.add_space_prefix", false).flag("tokenizer.ggml.add_bos_token", false);
  const Json bare = Json::parse(tokenizer_of(plain)->tokenizer_json);
  EXPECT_EQ(bare["normalizer"]["normalizers"].size(), 1u);
  EXPECT_EQ(bare["decoder"]["decoders"].size(), 3u);
  EXPECT_TRUE(bare["post_processor"].is_null());
}

TEST(GgufTokenizer, WithoutAllByteTokensThereIsNoByteFallback) {
  Pieces pieces;
  pieces.tokens[3 + 0x41] = "<0x4l>";
  const Json json = Json::parse(tokenizer_of(pieces.build())->tokenizer_json);
  EXPECT_EQ(json["model"]["byte_fallback"], false);
}

TEST(GgufTokenizer, RefusesBadFields) {
  const auto pieces = [](const std::function<void(Pieces&)>& spoil) {
    Pieces out;
    spoil(out);
    return out.build();
  };
  const auto base = [] {
    GgufBuilder out;
    return out.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "gpt-2");
  };
  const auto merged = [&](const std::vector<std::string>& merges) {
    return base()
        .texts("tokenizer.ggml.tokens", {"a", "b", "ab", ""})
        .texts("tokenizer.ggml.merges", merges);
  };
  const auto kinds = [&](const std::vector<int32_t>& values) {
    return merged({}).numbers("tokenizer.ggml.token_type", 5, values);
  };
  const struct {
    GgufBuilder in;
    Code code;
    std::string says;
  } cases[] = {
      {byte_level("deepseek-llm"), Code::unsupported, "pre-tokenizer \"deepseek-llm\""},
      {GgufBuilder().text("tokenizer.ggml.model", "bert").texts("tokenizer.ggml.tokens", {"a"}),
       Code::unsupported, "tokenizer of kind \"bert\""},
      {base().numbers<int32_t>("tokenizer.ggml.tokens", 5, {1}), Code::malformed,
       "not an array of strings"},
      {base().texts("tokenizer.ggml.tokens", {"a", "\xff"}), Code::malformed,
       "token 1 is not UTF-8"},
      {base().texts("tokenizer.ggml.tokens", {"a", "b", "a"}), Code::malformed,
       "tokens 0 and 2 are both \"a\""},
      {base().texts("tokenizer.ggml.tokens", {"a"}), Code::malformed, "tokenizer.ggml.merges is"},
      {merged({"a b", "ab"}), Code::malformed, "merge 1 (\"ab\") is not two tokens"},
      {merged({"a "}), Code::malformed, "is not two tokens"},
      {merged({"b a"}), Code::malformed, "merge 0 (\"b a\") joins or makes"},
      {merged({"a x"}), Code::malformed, "joins or makes"},
      {kinds({1, 1, 1}), Code::malformed, "3 elements for 4 tokens"},
      {kinds({1, 1, 7, 1}), Code::malformed, "of token 2 is 7"},
      {kinds({1, 1, 1, 3}), Code::malformed, "special token 3 is empty"},
      {merged({}).u32("tokenizer.ggml.bos_token_id", 4), Code::malformed,
       "tokenizer.ggml.bos_token_id is 4, but there are 4 tokens"},
      {merged({}).text("tokenizer.ggml.bos_token_id", "a"), Code::malformed, "not an integer"},
      {merged({}).flag("tokenizer.ggml.add_bos_token", true), Code::malformed,
       "adds a token whose id"},
      {merged({}).u32("tokenizer.ggml.add_bos_token", 1), Code::malformed,
       "tokenizer.ggml.add_bos_token is not a boolean"},
      {merged({}).texts("tokenizer.chat_template", {"x"}), Code::malformed,
       "tokenizer.chat_template is not a string"},
      {merged({}).text("tokenizer.chat_template", "\xff"), Code::malformed,
       "chat template is not UTF-8"},
      {pieces([](Pieces& p) { p.scores.pop_back(); }), Code::malformed, "tokenizer.ggml.scores"},
      {pieces([](Pieces& p) { p.scores[9] = NAN; }), Code::malformed,
       "score of token 9 is not finite"},
      {pieces([](Pieces& p) { p.add(std::string(257, 'a'), 0, 1); }), Code::unsupported,
       "piece of 257 bytes"},
  };
  for (const auto& bad : cases) {
    const Result<GgufTokenizer> made = tokenizer_of(bad.in);
    ASSERT_FALSE(made) << bad.says;
    EXPECT_EQ(made.error().code, bad.code) << made.error().message;
    EXPECT_NE(made.error().message.find(bad.says), std::string::npos) << made.error().message;
  }
  const Result<GgufTokenizer> many = tokenizer_of(Pieces().build(), 10);
  ASSERT_FALSE(many);
  EXPECT_NE(many.error().message.find("only 10 embedding rows"), std::string::npos);
}

/// 250 runs of one letter and 200 names followed by each such run: 6 million ways to split.
TEST(GgufTokenizer, BoundsTheMergesItDerives) {
  Pieces pieces;
  for (int name = 0; name < 200; ++name)
    for (size_t length = 1; length <= 250; ++length)
      pieces.add(std::to_string(name) + "." + std::string(length, 'x'), -1, 1);
  for (size_t length = 1; length <= 250; ++length) pieces.add(std::string(length, 'x'), -1, 1);
  const Result<GgufTokenizer> made = tokenizer_of(pieces.build(), 1 << 20);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("more merges than"), std::string::npos);
}

/// Every bit of a whole tokenizer flipped in turn: refused or read, never harmed by (under the
/// sanitizers), and what is read is JSON again.
TEST(GgufTokenizer, SurvivesFlippedBits) {
  GgufBuilder in = byte_level("llama-bpe");
  in.u32("tokenizer.ggml.bos_token_id", 5).text("tokenizer.chat_template", "{{ x }}");
  const std::string file = add_embedding(in).bytes();
  const size_t head = file.size() - 128;
  size_t accepted = 0;
  for (size_t at = 0; at < head; ++at)
    for (const int flip : {1, 2, 4, 8, 16, 32, 64, 128}) {
      std::string bad = file;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      Result<GgufFile> read = read_gguf(as_bytes(bad), "x");
      if (!read) continue;
      Result<GgufTokenizer> made = read_gguf_tokenizer(*read, 6, "x");
      if (!made || made->tokenizer_json.empty()) continue;
      ++accepted;
      EXPECT_TRUE(Json::accept(made->tokenizer_json));
    }
  EXPECT_GT(accepted, 0u);
  EXPECT_LT(accepted, head * 8);
}

}  // namespace
}  // namespace sqf
