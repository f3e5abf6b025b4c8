// Descriptions: from Hugging Face's words and from META's, refusals by message, and the way there
// and back for every field.
#include "model/description.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace sqf {
namespace {

Json config() {
  return {{"model_type", "llama"},
          {"vocab_size", 100},
          {"hidden_size", 64},
          {"intermediate_size", 96},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"max_position_embeddings", 128},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 500000.0},
          {"tie_word_embeddings", true},
          {"bos_token_id", 1},
          {"eos_token_id", 2}};
}

ModelDescription read(const Json& words, const Json& generation = {}) {
  auto d = description_from_config(words, generation);
  EXPECT_TRUE(d) << d.error().message;
  return d ? *d : ModelDescription();
}

ModelDescription read_with(const Json& change) {
  Json words = config();
  words.update(change);
  return read(words);
}

TEST(Description, ReadsAConfig) {
  const ModelDescription d = read(config());
  EXPECT_EQ(d.architecture, "llama");
  EXPECT_EQ(d.vocab_size, 100);
  EXPECT_EQ(d.hidden_size, 64);
  EXPECT_EQ(d.intermediate_size, 96);
  EXPECT_EQ(d.layers, 2);
  EXPECT_EQ(d.heads, 4);
  EXPECT_EQ(d.kv_heads, 2);
  EXPECT_EQ(d.head_dim, 16);
  EXPECT_EQ(d.context_length, 128);
  EXPECT_EQ(d.norm_epsilon, 1e-5f);
  EXPECT_EQ(d.rope_theta, 500000.0f);
  EXPECT_EQ(d.rope_scaling, RopeScaling::none);
  EXPECT_TRUE(d.tied);
  EXPECT_FALSE(d.qkv_bias || d.output_bias || d.mlp_bias);
  EXPECT_EQ(d.bos_id, 1);
  EXPECT_EQ(d.eos_ids, std::vector<int64_t>{2});
}

TEST(Description, FillsInWhatMayBeAbsent) {
  Json words = config();
  for (const char* name : {"num_key_value_heads", "rms_norm_eps", "rope_theta",
                           "tie_word_embeddings", "bos_token_id", "eos_token_id"})
    words.erase(name);
  const ModelDescription d = read(words);
  EXPECT_EQ(d.kv_heads, 4);
  EXPECT_EQ(d.norm_epsilon, 1e-6f);
  EXPECT_EQ(d.rope_theta, 10000.0f);
  EXPECT_FALSE(d.tied);
  EXPECT_EQ(d.bos_id, -1);
  EXPECT_TRUE(d.eos_ids.empty());
  for (const char* name : {"num_key_value_heads", "bos_token_id", "eos_token_id", "head_dim",
                           "rope_scaling", "sliding_window", "quantization_config"})
    words[name] = nullptr;
  EXPECT_EQ(description_to_json(read(words)), description_to_json(d));
}

TEST(Description, KnowsTheFamilies) {
  EXPECT_TRUE(read_with({{"model_type", "qwen2"}}).qkv_bias);
  EXPECT_FALSE(read_with({{"model_type", "qwen2"}}).output_bias);
  EXPECT_EQ(read_with({{"model_type", "qwen3"}}).qk_norm, QkNorm::per_head);
  EXPECT_FALSE(read_with({{"model_type", "qwen3"}}).qkv_bias);
  EXPECT_EQ(read_with({{"model_type", "mistral"}}).qk_norm, QkNorm::none);
  const ModelDescription biased = read_with({{"attention_bias", true}, {"mlp_bias", true}});
  EXPECT_TRUE(biased.qkv_bias && biased.output_bias && biased.mlp_bias);
  EXPECT_EQ(read_with({{"head_dim", 32}}).head_dim, 32);
}

TEST(Description, AWindowAsLongAsTheContextIsNone) {
  EXPECT_EQ(read_with({{"sliding_window", 128}}).context_length, 128);
  EXPECT_EQ(read_with({{"sliding_window", 64}, {"use_sliding_window", false}}).context_length, 128);
}

TEST(Description, GenerationConfigKnowsTheEndsBetter) {
  EXPECT_EQ(read(config(), {{"eos_token_id", {7, 9}}}).eos_ids, (std::vector<int64_t>{7, 9}));
  EXPECT_EQ(read(config(), Json::object()).eos_ids, std::vector<int64_t>{2});
  auto bad = description_from_config(config(), {{"eos_token_id", 100}});
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().message.find("generation_config.json: \"eos_token_id\" is 100"),
            std::string::npos);
}

TEST(Description, BothSpellingsOfRope) {
  for (const char* key : {"type", "rope_type"}) {
    const ModelDescription d = read_with({{"rope_scaling", {{key, "linear"}, {"factor", 2.5}}}});
    EXPECT_EQ(d.rope_scaling, RopeScaling::linear);
    EXPECT_EQ(d.rope_factor, 2.5f);
    EXPECT_EQ(d.rope_theta, 500000.0f);
  }
  const Json llama3 = {{"rope_type", "llama3"},   {"rope_theta", 1e6},
                       {"factor", 32.0},          {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 8192}};
  const ModelDescription d = read_with({{"rope_parameters", llama3}});
  EXPECT_EQ(d.rope_scaling, RopeScaling::llama3);
  EXPECT_EQ(d.rope_theta, 1e6f);  // the inner one wins
  EXPECT_EQ(d.rope_factor, 32);
  EXPECT_EQ(d.rope_low_frequency, 1);
  EXPECT_EQ(d.rope_high_frequency, 4);
  EXPECT_EQ(d.rope_original_context, 8192);
  EXPECT_EQ(
      read_with({{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 7}}}}).rope_theta,
      7);
}

struct Refusal {
  Json change;
  Code code;
  const char* words;
};

void expect_refusal(const Result<ModelDescription>& d, const Refusal& r) {
  ASSERT_FALSE(d) << r.change.dump();
  EXPECT_EQ(d.error().code, r.code) << d.error().message;
  EXPECT_NE(d.error().message.find(r.words), std::string::npos) << d.error().message;
}

TEST(Description, RefusesByName) {
  const Refusal refusals[] = {
      {{{"model_type", "gpt2"}}, Code::unsupported, "model_type \"gpt2\""},
      {{{"model_type", 3}}, Code::malformed, "\"model_type\" is 3: no string"},
      {{{"vocab_size", 0}}, Code::malformed, "\"vocab_size\" is 0: out of range"},
      {{{"hidden_size", "64"}}, Code::malformed, "\"hidden_size\" is \"64\": no integer"},
      {{{"hidden_size", 18446744073709551615u}}, Code::malformed, "18446744073709551615"},
      {{{"num_hidden_layers", 4097}}, Code::malformed, "\"num_hidden_layers\" is 4097"},
      {{{"num_attention_heads", 5}}, Code::malformed, "does not divide hidden_size 64"},
      {{{"num_key_value_heads", 3}}, Code::malformed, "does not divide the heads"},
      {{{"head_dim", 17}}, Code::malformed, "odd"},
      {{{"rms_norm_eps", 2}}, Code::malformed, "\"rms_norm_eps\" is 2"},
      {{{"tie_word_embeddings", "yes"}}, Code::malformed, "no boolean"},
      {{{"hidden_act", "gelu"}}, Code::unsupported, "hidden_act \"gelu\""},
      {{{"sliding_window", 64}}, Code::unsupported, "sliding-window"},
      {{{"partial_rotary_factor", 0.25}}, Code::unsupported, "partial_rotary_factor 0.25"},
      {{{"quantization_config", Json::object()}}, Code::unsupported, "quantization_config"},
      {{{"rope_scaling", 3}}, Code::malformed, "\"rope_scaling\" is no object"},
      {{{"rope_scaling", {{"type", "yarn"}, {"factor", 2}}}}, Code::unsupported, "\"yarn\""},
      {{{"rope_scaling", {{"type", "linear"}}}}, Code::malformed, "\"factor\" is missing"},
      {{{"rope_parameters", {{"rope_type", 1}}}}, Code::malformed, "config.json rope_parameters"},
      {{{"eos_token_id", {1, 100}}}, Code::malformed, "token id"},
      {{{"eos_token_id", 18446744073709551615u}}, Code::malformed, "token id"},
      {{{"bos_token_id", -1}}, Code::malformed, "\"bos_token_id\" is -1"},
  };
  for (const Refusal& r : refusals) {
    Json words = config();
    words.update(r.change);
    expect_refusal(description_from_config(words, {}), r);
  }
  for (const char* name : {"model_type", "vocab_size", "hidden_size", "intermediate_size",
                           "num_hidden_layers", "num_attention_heads", "max_position_embeddings"}) {
    Json words = config();
    words.erase(name);
    const std::string message = "\"" + std::string(name) + "\" is missing";
    expect_refusal(description_from_config(words, {}), {{}, Code::malformed, message.c_str()});
  }
  EXPECT_FALSE(description_from_config(Json::array(), {}));
}

/// Every field away from its default.
ModelDescription unusual() {
  ModelDescription d;
  d.architecture = "made up";
  d.vocab_size = 101, d.hidden_size = 66, d.intermediate_size = 70;
  d.layers = 3, d.heads = 6, d.kv_heads = 2, d.head_dim = 10, d.context_length = 1000;
  d.norm_epsilon = 1.1e-6f;
  d.qk_norm = QkNorm::per_head;
  d.qkv_bias = d.output_bias = d.mlp_bias = d.tied = true;
  d.rope_theta = 12345.678f;
  d.rope_scaling = RopeScaling::llama3;
  d.rope_factor = 8.1f, d.rope_low_frequency = 1.3f, d.rope_high_frequency = 4.7f;
  d.rope_original_context = 777;
  d.bos_id = 5;
  d.eos_ids = {6, 100};
  return d;
}

TEST(Description, ComesBackFromJsonWithEveryField) {
  const ModelDescription in = unusual();
  // Through text, as META carries it.
  auto json = parse_json(description_to_json(in).dump(), "META");
  ASSERT_TRUE(json) << json.error().message;
  auto out = description_from_json(*json);
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ(out->architecture, in.architecture);
  EXPECT_EQ(out->vocab_size, in.vocab_size);
  EXPECT_EQ(out->hidden_size, in.hidden_size);
  EXPECT_EQ(out->intermediate_size, in.intermediate_size);
  EXPECT_EQ(out->layers, in.layers);
  EXPECT_EQ(out->heads, in.heads);
  EXPECT_EQ(out->kv_heads, in.kv_heads);
  EXPECT_EQ(out->head_dim, in.head_dim);
  EXPECT_EQ(out->context_length, in.context_length);
  EXPECT_EQ(out->norm_epsilon, in.norm_epsilon);
  EXPECT_EQ(out->activation, in.activation);
  EXPECT_EQ(out->qk_norm, in.qk_norm);
  EXPECT_EQ(out->qkv_bias, in.qkv_bias);
  EXPECT_EQ(out->output_bias, in.output_bias);
  EXPECT_EQ(out->mlp_bias, in.mlp_bias);
  EXPECT_EQ(out->tied, in.tied);
  EXPECT_EQ(out->rope_theta, in.rope_theta);
  EXPECT_EQ(out->rope_scaling, in.rope_scaling);
  EXPECT_EQ(out->rope_factor, in.rope_factor);
  EXPECT_EQ(out->rope_low_frequency, in.rope_low_frequency);
  EXPECT_EQ(out->rope_high_frequency, in.rope_high_frequency);
  EXPECT_EQ(out->rope_original_context, in.rope_original_context);
  EXPECT_EQ(out->bos_id, in.bos_id);
  EXPECT_EQ(out->eos_ids, in.eos_ids);
  EXPECT_EQ(description_to_json(*out), description_to_json(in));
}

/// Whatever the hostile META holds: an answer or an error, never an exception.
void expect_an_answer(const Json& json) {
  auto d = description_from_json(json);
  EXPECT_TRUE(d || !d.error().message.empty());
}

TEST(Description, NoMemberOfMetaMayBeWhatItIsNot) {
  const Json stand_ins[] = {nullptr,       true,          -1, 18446744073709551615u, 1e300, "x",
                            Json::array(), Json::object()};
  const Json good = description_to_json(unusual());
  for (const auto& [name, value] : good.items()) {
    Json without = good;
    without.erase(name);
    expect_an_answer(without);
    for (const Json& other : stand_ins) {
      Json changed = good;
      changed[name] = other;
      expect_an_answer(changed);
    }
    if (!value.is_object()) continue;
    for (const auto& [inner, old] : value.items()) {
      Json part = good;
      part[name].erase(inner);
      EXPECT_FALSE(description_from_json(part)) << name << "." << inner;
      for (const Json& other : stand_ins) {
        Json changed = good;
        changed[name][inner] = other;
        EXPECT_FALSE(description_from_json(changed)) << name << "." << inner << " " << other;
      }
    }
  }
  for (const Json& other : stand_ins) EXPECT_FALSE(description_from_json(other));
}

TEST(Description, MetaIsRefusedByName) {
  const Refusal refusals[] = {
      {{{"activation", "relu"}}, Code::unsupported, "activation \"relu\""},
      {{{"qk_norm", "whole"}}, Code::unsupported, "qk_norm \"whole\""},
      {{{"norm", {{"kind", "layer"}, {"epsilon", 1e-5}}}},
       Code::unsupported,
       "norm kind \"layer\""},
      {{{"norm", {{"epsilon", 1e-5}}}}, Code::malformed, "\"kind\" is missing"},
      {{{"rope", {{"theta", 1e4}, {"pairing", "interleaved"}, {"scaling", "none"}}}},
       Code::unsupported,
       "pairing"},
      {{{"rope", {{"theta", 1e4}, {"pairing", "half"}, {"scaling", "yarn"}, {"factor", 2}}}},
       Code::unsupported,
       "\"yarn\""},
      {{{"rope",
         {{"theta", 1e4},
          {"pairing", "half"},
          {"scaling", "llama3"},
          {"factor", 8},
          {"low_frequency", 4},
          {"high_frequency", 4},
          {"original_context", 8192}}}},
       Code::malformed,
       "\"high_frequency\" is 4: not above low_frequency"},
      {{{"heads", 0}}, Code::malformed, "\"heads\" is 0"},
      {{{"eos_ids", {101}}}, Code::malformed, "token id"},
  };
  for (const Refusal& r : refusals) {
    Json json = description_to_json(unusual());
    json.update(r.change);
    expect_refusal(description_from_json(json), r);
  }
  Json json = description_to_json(unusual());
  json.erase("activation");
  expect_refusal(description_from_json(json), {{}, Code::malformed, "\"activation\" is missing"});
}

TEST(TensorSpecs, FollowTheDescription) {
  const auto specs = tensor_specs(unusual());
  const auto find = [&](const std::string& name) {
    return *std::find_if(specs.begin(), specs.end(), [&](auto& s) { return s.name == name; });
  };
  EXPECT_EQ(specs.size(), 3u * 11 + 2);
  EXPECT_EQ(specs.back().name, "model.embed_tokens.weight");
  const TensorSpec q = find("model.layers.2.self_attn.q_proj.weight");
  EXPECT_EQ(q.rows, 60);
  EXPECT_EQ(q.columns, 66);
  EXPECT_TRUE(q.bias);
  EXPECT_EQ(q.input, find("model.layers.2.self_attn.v_proj.weight").input);
  EXPECT_NE(q.input, find("model.layers.2.self_attn.o_proj.weight").input);
  EXPECT_EQ(find("model.layers.0.self_attn.k_norm.weight").columns, 10);
  ModelDescription untied = unusual();
  untied.tied = false;
  EXPECT_EQ(tensor_specs(untied).front().role, Role::embedding);
  EXPECT_EQ(tensor_specs(untied).back().name, "lm_head.weight");
}

}  // namespace
}  // namespace sqf
