// Step 14 of reading: descriptions, tensors and tokenizers that do not fit each other.
#include "model/check_model.hpp"

#include <gtest/gtest.h>

#include "format/rules.hpp"
#include "format/writer.hpp"
#include "model/description.hpp"
#include "model/tokenizer_compile.hpp"

namespace sqf {
namespace {

ModelDescription description() {
  ModelDescription d;
  d.architecture = "llama";
  d.vocab_size = 24;
  d.hidden_size = 32;
  d.intermediate_size = 48;
  d.layers = 2;
  d.heads = 2;
  d.kv_heads = 1;
  d.head_dim = 16;
  d.context_length = 64;
  return d;
}

struct Shape {
  std::string name;
  std::vector<uint64_t> shape;
  bool bias;
};

/// What the description asks for; norms are vectors.
std::vector<Shape> shapes(const ModelDescription& d) {
  std::vector<Shape> out;
  for (const TensorSpec& s : tensor_specs(d)) {
    std::vector<uint64_t> shape = {static_cast<uint64_t>(s.rows), static_cast<uint64_t>(s.columns)};
    if (s.name.find("norm") != std::string::npos) shape.erase(shape.begin());
    out.push_back({s.name, shape, s.bias});
  }
  return out;
}

Head head(const Json& model, const std::vector<Shape>& tensors) {
  DirectoryBuilder builder;
  for (const Shape& t : tensors)
    builder.tensor(t.name, t.shape, kNone, real_encoding(Element::f16), t.bias);
  Head out;
  out.directory = builder.finish();
  out.meta = {{"model", model}};
  return out;
}

Head head(const ModelDescription& d) {
  return head(description_to_json(d), shapes(d));
}

void add_section(Head& head, SectionKind kind, std::string text) {
  SectionRecord record = {};
  record.kind = kind;
  head.sections.push_back(record);
  head.inflated.push_back({kind, std::move(text)});
}

std::vector<Error> check(const Head& head, size_t limit = 100) {
  Findings findings(limit);
  check_model(head, findings);
  return std::move(findings).take();
}

std::vector<uint16_t> rules_of(const std::vector<Error>& errors) {
  std::vector<uint16_t> rules;
  for (const Error& e : errors) rules.push_back(e.rule);
  return rules;
}

using Rules = std::vector<uint16_t>;

TEST(CheckModel, PassesEveryKindOfModel) {
  EXPECT_TRUE(check(head(description())).empty());
  for (int bits = 0; bits < 32; bits++) {
    ModelDescription d = description();
    d.tied = (bits & 1) != 0;
    d.qkv_bias = (bits & 2) != 0;
    d.output_bias = (bits & 4) != 0;
    d.mlp_bias = (bits & 8) != 0;
    if ((bits & 16) != 0) d.qk_norm = QkNorm::per_head;
    EXPECT_TRUE(check(head(d)).empty()) << bits;
  }
}

TEST(CheckModel, AsksNothingOfTensorsAlone) {
  Head h = head({{"architecture", "none"}}, {{"a", {3, 5}, true}});
  add_section(h, SectionKind::tokn, "no JSON");
  EXPECT_TRUE(check(h).empty());
  EXPECT_TRUE(is_no_model(h));
  for (const Json& other : {Json("None"), Json(nullptr), Json(0)}) {
    h.meta["model"]["architecture"] = other;
    EXPECT_FALSE(is_no_model(h));
    EXPECT_EQ(rules_of(check(h)), (Rules{701})) << other;
  }
}

TEST(CheckModel, TellsIncompleteFromUnknown) {
  Json model = description_to_json(description());
  model.erase("heads");
  const auto incomplete = check(head(model, shapes(description())));
  ASSERT_EQ(rules_of(incomplete), (Rules{701}));
  EXPECT_NE(incomplete[0].message.find("heads"), std::string::npos);

  model = description_to_json(description());
  model["activation"] = "gelu";
  const auto unknown = check(head(model, shapes(description())));
  ASSERT_EQ(rules_of(unknown), (Rules{0}));
  EXPECT_EQ(unknown[0].code, Code::unsupported);
  EXPECT_NE(unknown[0].message.find("gelu"), std::string::npos);
}

TEST(CheckModel, LayersAreNotMoreThanTensors) {
  std::vector<Shape> tensors = shapes(description());
  Json model = description_to_json(description());
  model["layers"] = tensors.size() + 1;
  EXPECT_EQ(rules_of(check(head(model, tensors))), (Rules{701}));
  model["layers"] = tensors.size();
  const auto found = check(head(model, tensors), 1000);
  EXPECT_EQ(found.size(),
            9 * (tensors.size() - 2));  // all tensors of the layers that are not there
  EXPECT_EQ(found[0].rule, 702);
}

TEST(CheckModel, NamesEveryTensorThatDoesNotFit) {
  std::vector<Shape> tensors = shapes(description());
  const auto find = [&](const std::string& end) {
    return std::find_if(tensors.begin(), tensors.end(),
                        [&](const Shape& t) { return t.name.ends_with(end); });
  };
  find("0.self_attn.q_proj.weight")->shape = {32, 31};
  find("1.mlp.up_proj.weight")->bias = true;
  find("model.norm.weight")->shape = {1, 32};
  find("1.mlp.down_proj.weight")->shape = {1, 32, 48};
  tensors.erase(find("0.self_attn.v_proj.weight"));
  tensors.push_back({"zebra", {4}, false});
  tensors.push_back({"aardvark", {4}, false});
  const Head h = head(description_to_json(description()), tensors);
  const auto found = check(h);
  EXPECT_EQ(rules_of(found), Rules(7, 702));
  std::vector<std::string> names;
  for (const Error& e : found) names.push_back(e.tensor);
  EXPECT_EQ(names,
            (std::vector<std::string>{
                "model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.v_proj.weight",
                "model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.down_proj.weight",
                "model.norm.weight", "aardvark", "zebra"}));
  EXPECT_EQ(found[0].expected, "[32, 32]");
  EXPECT_EQ(found[0].found, "[32, 31]");
  EXPECT_EQ(found[1].found, "nothing");
  EXPECT_EQ(found[2].found, "a bias");
  EXPECT_EQ(found[3].found, "[1, 32, 48]");
  EXPECT_EQ(found[4].expected, "[32]");
  EXPECT_EQ(check(h, 3).size(), 3u);
}

TEST(CheckModel, BiasesAreWhereTheDescriptionSaysSo) {
  ModelDescription d = description();
  d.qkv_bias = d.output_bias = d.mlp_bias = true;
  std::vector<Shape> tensors = shapes(d);
  for (Shape& t : tensors) t.bias = false;
  const auto found = check(head(description_to_json(d), tensors));
  EXPECT_EQ(found.size(), 14u);  // seven matrices in two layers
  for (const Error& e : found) EXPECT_EQ(e.expected, "a bias");
}

constexpr const char* kGood = R"({"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},
  "merges":["a b"]},"added_tokens":[{"id":3,"content":"<s>","special":true}]})";

TEST(CheckTokenizer, WhatTheSpecificationAsks) {
  EXPECT_TRUE(check_tokenizer(kGood, 4));
  EXPECT_FALSE(check_tokenizer(kGood, 3)) << "the added token's id";
  const auto with = [](const std::string& model, const std::string& rest = "") {
    return "{\"model\":" + model + rest + "}";
  };
  const auto merges = [&](const std::string& list) {
    return with(R"({"vocab":{"a":0,"b":1,"ab":2,"":3," ":4},"merges":)" + list + "}");
  };
  const std::string good[] = {
      with("{}"),
      with(R"({"vocab":[["a",0.5]],"merges":["x y"]})"),
      with(R"({"vocab":{}})", R"(,"added_tokens":null)"),
      with(R"({"vocab":{"a":-0}})"),
      merges("[]"),
      merges(R"(["a b",["a","b"],["a",""]," b"])"),
      merges(R"(["#version: 0.2","a b"])"),
      with("{}", R"(,"added_tokens":[{"id":1,"content":"a"}])"),
      with(std::string(R"({"x":)") + std::string(62, '[') + std::string(62, ']') + "}"),
  };
  for (const std::string& text : good) {
    const auto ok = check_tokenizer(text, 24);
    EXPECT_TRUE(ok) << text << ": " << ok.error().message;
  }
  const std::string bad[] = {
      "",
      "{",
      "[]",
      "{}",
      with("[]"),
      with("null"),
      with("{}") + std::string(1, '\0'),
      with(R"({"vocab":{"a":24}})"),
      with(R"({"vocab":{"a":-1}})"),
      with(R"({"vocab":{"a":1.0}})"),
      with(R"({"vocab":{"a":18446744073709551616}})"),
      with(R"({"vocab":{"a":null}})"),
      with(R"({"vocab":{"a":1,"b":1}})"),
      with(R"({"vocab":{"a":1,"a":2}})"),
      with("{}", R"(,"added_tokens":[{"id":24}])"),
      with("{}", R"(,"added_tokens":[{"id":-1}])"),
      with("{}", R"(,"added_tokens":[{"id":"1"}])"),
      with("{}", R"(,"added_tokens":[{}])"),
      with("{}", R"(,"added_tokens":{"id":1})"),
      with("{}", R"(,"added_tokens":[7])"),
      merges("{}"),
      merges("\"a b\""),
      merges("[\"ab\"]"),
      merges(R"(["a  b"])"),
      merges(R"(["a b "])"),
      merges(R"(["b a"])"),
      merges(R"(["a c"])"),
      merges(R"([["a"]])"),
      merges(R"([["a","b","ab"]])"),
      merges(R"([["a",1]])"),
      merges("[5]"),
      with("{}", R"(,"added_tokens":[{"id":1}])"),
      with("{}", R"(,"added_tokens":[{"id":1,"content":2}])"),
      with(std::string(R"({"x":)") + std::string(63, '[') + std::string(63, ']') + "}")};
  for (const std::string& text : bad) {
    const auto ok = check_tokenizer(text, 24);
    ASSERT_FALSE(ok) << text;
    EXPECT_EQ(ok.error().rule, 703) << text;
  }
}

TEST(CheckTokenizer, TheModelBoundsTheIds) {
  ModelDescription d = description();
  Head h = head(d);
  add_section(h, SectionKind::tokn, kGood);
  EXPECT_TRUE(check(h).empty());
  h.inflated[0].bytes = R"({"model":{"vocab":{"a":24}}})";
  EXPECT_EQ(rules_of(check(h)), (Rules{703}));
  h.meta["model"].erase("rope");  // then the tokenizer is not asked
  h.inflated[0].bytes = "{}";
  EXPECT_EQ(rules_of(check(h)), (Rules{701}));
  EXPECT_EQ(check(h, 1)[0].rule, 701);
}

TEST(CheckTokenizer, TablesAreThoseOfTheText) {
  Head h = head(description());
  add_section(h, SectionKind::tokn, kGood);
  const auto tables = compile_tokenizer(kGood);
  ASSERT_TRUE(tables) << tables.error().message;
  add_section(h, SectionKind::tokb, *tables);
  EXPECT_TRUE(check(h).empty());
  for (size_t i = 0; i < tables->size(); i++) {
    h.inflated[1].bytes = *tables;
    h.inflated[1].bytes[i] = static_cast<char>(h.inflated[1].bytes[i] ^ 1);
    ASSERT_EQ(rules_of(check(h)), (Rules{704})) << i;
  }
  h.inflated[1].bytes = *tables + '\0';
  EXPECT_EQ(rules_of(check(h)), (Rules{704}));
  h.inflated[1].bytes = tables->substr(0, tables->size() - 1);
  EXPECT_EQ(rules_of(check(h)), (Rules{704}));
  h.inflated[0].bytes = R"({"model":{"type":"Unigram","vocab":[["a",0.5]]}})";
  EXPECT_EQ(rules_of(check(h)), (Rules{704})) << "there are no tables for such a tokenizer";

  Head alone = head(description());
  add_section(alone, SectionKind::tokb, *tables);
  EXPECT_EQ(rules_of(check(alone)), (Rules{704}));
}

}  // namespace
}  // namespace sqf
