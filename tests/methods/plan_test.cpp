// What can be asked for together, and what is refused before any work.
#include "tests/methods/method_file.hpp"

namespace sqf {
namespace {

TEST(MethodPlan, WordsForActivations) {
  using enum QuantizerKind;
  const std::pair<const char*, ActivationSpec> good[] = {
      {"none", {}},
      {"int8", {.kind = integer, .bits = 8}},
      {"int2:asym", {.kind = integer, .bits = 2, .asymmetric = true}},
      {"int4:asym:tensor", {.kind = integer, .bits = 4, .asymmetric = true, .per_tensor = true}},
      {"int8:static", {.kind = integer, .bits = 8, .per_tensor = true, .is_static = true}},
      {"e4m3", {.kind = minifloat, .exponent_bits = 4, .mantissa_bits = 3}},
      {"e2m1:tensor",
       {.kind = minifloat, .exponent_bits = 2, .mantissa_bits = 1, .per_tensor = true}},
  };
  for (const auto& [words, expected] : good) {
    auto spec = parse_activation(words);
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_TRUE(*spec == expected) << words;
    EXPECT_EQ(activation_name(*spec), words);
  }
  for (const char* words :
       {"", "int", "int1", "int9", "int08x", "int-4", "int8:", "int8:fast", ":asym", "none:asym",
        "e4m3:asym", "int8:static:asym", "int8:asym:static", "nf4", "e4m3ocp", "ternary", "e9m9",
        "INT8", "int8 "}) {
    auto spec = parse_activation(words);
    ASSERT_FALSE(spec) << words;
    EXPECT_EQ(spec.error().code, Code::usage);
    EXPECT_NE(spec.error().message.find("act=" + std::string(words)), std::string::npos)
        << spec.error().message;
  }
}

TEST(MethodPlan, ReadersOfOneInputMustAgree) {
  const RandomModel model(Json::object());
  const std::pair<EncodingRule, bool> rules[] = {
      {{"1.*k_proj", "act=int8"}, false},
      {{"1.*k_proj", "act=int4"}, false},
      {{"1.*k_proj", "outliers=0.6"}, false},
      {{"1.*k_proj", "outliers=0"}, false},
      {{"1.*k_proj", "none"}, false},
      {{"1.*[qkv]_proj", "none"}, true},
      {{"1.*k_proj", "bits=6,lorc=4"}, true},
      {{"1.*k_proj", "act=int4:asym"}, true},
      {{"1.*o_proj", "act=int8,outliers=0"}, true},
  };
  for (const auto& [rule, agree] : rules) {
    PlanOptions options = preset_options("quik");
    options.rules.push_back(rule);
    auto plan = make_plan(model.source, options);
    EXPECT_EQ(static_cast<bool>(plan), agree) << rule.spec;
    if (plan) continue;
    EXPECT_EQ(plan.error().code, Code::usage);
    if (rule.spec == "outliers=0.6") continue;  // no share at all
    for (const char* word : {"layers.1.self_attn.k_proj", "layers.1.self_attn.q_proj", "act="})
      EXPECT_NE(plan.error().message.find(word), std::string::npos) << plan.error().message;
  }
}

TEST(MethodPlan, WhatEachMethodNeeds) {
  const RandomModel model(Json::object());
  const auto needs = [&](const char* name, const char* words = "",
                         std::optional<double> alpha = std::nullopt) {
    PlanOptions options = preset_options(name, words);
    options.smoothing.alpha = alpha;
    auto plan = make_plan(model.source, options);
    EXPECT_TRUE(plan);
    const Needs n = needs_of(*plan);
    return std::pair{n.statistics, n.forward};
  };
  EXPECT_EQ(needs("rtn"), std::pair(false, false));
  EXPECT_EQ(needs("none"), std::pair(false, false));
  for (const char* name : {"smoothquant", "smoothquant+", "awq"}) {
    EXPECT_EQ(needs(name), std::pair(true, true));
    EXPECT_EQ(needs(name, "range=search", 0.5), std::pair(true, false));
    EXPECT_EQ(needs(name, "range=clip", 0.5), std::pair(true, true));
  }
  EXPECT_EQ(needs("awq", "", 0.5), std::pair(true, true));
  EXPECT_EQ(needs("rtn", "range=clip"), std::pair(false, true));
  EXPECT_EQ(needs("gptq"), std::pair(false, true));
  EXPECT_EQ(needs("quik"), std::pair(true, true));
  EXPECT_EQ(needs("quik", "round=nearest"), std::pair(true, false));
  EXPECT_EQ(needs("rtn", "act=int8"), std::pair(false, false));
  EXPECT_EQ(needs("rtn", "act=int8:static"), std::pair(true, false));
}

/// v_proj and up_proj give up what o_proj and down_proj are smoothed by: neither end may be codes
/// that are carried over.
TEST(MethodPlan, KeptCodesCannotBeFolded) {
  RandomModel model(Json::object());
  const std::vector<std::byte> codes(96 * 64 / 32 * 18);
  for (SourceTensor& t : model.source.tensors)
    if (t.name.ends_with("1.mlp.up_proj.weight") || t.name.ends_with("1.self_attn.v_proj.weight")) {
      t.type = SourceType::q4_0;
      t.bytes = std::span(codes).first(static_cast<size_t>(t.shape[0]) * 64 / 32 * 18);
    }
  const auto plan_with = [&](const char* sites) {
    PlanOptions options = preset_options("awq");
    options.smoothing.sites = *parse_sites(sites);
    options.rules = {{"1.mlp.up_proj", "keep"}, {"1.self_attn.v_proj", "keep"}};
    return make_plan(model.source, options);
  };
  for (const auto& [sites, tensor] : {std::pair{"qkv", "1.self_attn.v_proj"},
                                      {"qkv:apply", "1.self_attn.v_proj"},
                                      {"o", "1.self_attn.v_proj"},
                                      {"gate_up", "1.mlp.up_proj"},
                                      {"down", "1.mlp.up_proj"}}) {
    auto plan = plan_with(sites);
    ASSERT_FALSE(plan) << sites;
    EXPECT_EQ(plan.error().code, Code::usage);
    EXPECT_NE(plan.error().message.find(tensor), std::string::npos) << plan.error().message;
  }
  EXPECT_TRUE(plan_with("o:apply,down:apply"));
}

TEST(MethodPlan, StatisticsOfAnotherModel) {
  const RandomModel model(Json::object()), other(Json{{"intermediate_size", 128}});
  const auto statistics =
      gather_statistics(other.source, other.description, random_windows(other.description), {});
  ASSERT_TRUE(statistics);
  for (const char* words : {"range=search", "range=minmax"}) {
    PlanOptions options = preset_options("quik", words);
    options.head.range = options.linear.range;
    options.statistics = &*statistics;
    auto plan = make_plan(model.source, options);
    ASSERT_FALSE(plan) << words;
    EXPECT_NE(plan.error().message.find("of another model"), std::string::npos);
  }
}

TEST(MethodPlan, PresetsAreWhatTheySay) {
  const RandomModel model(Json::object());
  const auto plan_of = [&](const char* name) {
    auto plan = make_plan(model.source, preset_options(name));
    EXPECT_TRUE(plan) << plan.error().message;
    return std::move(*plan);
  };
  const auto encoding = [](const Plan& plan, Role role) {
    for (const TensorPlan& t : plan.tensors)
      if (t.spec.role == role) return describe(t.encoding);
    return std::string();
  };
  const auto sites = [](const Plan& plan) { return sites_text(plan.smoothing.sites); };
  const Plan smoothquant = plan_of("smoothquant"), plus = plan_of("smoothquant+"),
             awq = plan_of("awq"), gptq = plan_of("gptq"), quik = plan_of("quik");
  EXPECT_EQ(sites(smoothquant), "qkv,gate_up,down");
  EXPECT_EQ(sites(awq), "qkv,o,gate_up,down");
  EXPECT_EQ(activation_name(smoothquant.inputs[0].activation), "int8");
  EXPECT_EQ(activation_name(awq.inputs[0].activation), "none");
  EXPECT_EQ(activation_name(quik.inputs[0].activation), "int4:asym");
  EXPECT_EQ(activation_name(quik.inputs[3].activation), "int8:asym");
  EXPECT_EQ(encoding(plus, Role::q), encoding(awq, Role::q));
  EXPECT_EQ(encoding(gptq, Role::q), encoding(awq, Role::q));
  EXPECT_NE(encoding(quik, Role::q), encoding(quik, Role::down));
  EXPECT_EQ(find_method("SmoothQuant"), nullptr);
  for (const MethodPreset& preset : method_presets()) {
    if (preset.name == std::string("keep")) continue;
    const Plan plan = plan_of(preset.name);
    for (const TensorPlan& t : plan.tensors) EXPECT_FALSE(encoding_problem(t.encoding));
    for (const InputPlan& in : plan.inputs)
      if (in.site == nullptr) {
        EXPECT_EQ(in.smooth, SmoothState::none);  // nothing stands before the head to fold into
      }
  }
}

}  // namespace
}  // namespace sqf
