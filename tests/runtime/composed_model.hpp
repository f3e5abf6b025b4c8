#pragma once
// A tiny model whose layers are compositions of every kind, written to a file.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "model/description.hpp"
#include "tests/runtime/composed_file.hpp"

namespace sqf {

inline ModelDescription tiny(bool tied) {
  ModelDescription d;
  d.architecture = "llama";
  d.vocab_size = 45;
  d.hidden_size = 56;
  d.intermediate_size = 100;
  d.layers = 2;
  d.heads = 4;
  d.kv_heads = 2;
  d.head_dim = 14;
  d.context_length = 32;
  d.qkv_bias = true;
  d.tied = tied;
  d.bos_id = 0;
  d.eos_ids = {1};
  return d;
}

inline ColumnSetRecord set_of(ColumnKind kind, QuantizerKind quantizer = QuantizerKind::none,
                              int bits = 0, bool asymmetric = false) {
  ColumnSetRecord set = {};
  set.kind = kind;
  set.quantizer = quantizer;
  if (quantizer == QuantizerKind::minifloat) {
    set.exponent_bits = 4;
    set.mantissa_bits = 3;
  }
  set.bits = static_cast<uint8_t>(bits);
  set.asymmetric = asymmetric;
  return set;
}

/// What the tensors of one activation are made of. Without `quantizers` no activation is rounded:
/// near the middle of two steps a last bit decides, and models of random weights are not calm.
inline Composition composition_of(Role role, bool tied, bool quantizers = true) {
  if (!quantizers) {
    Composition calm = composition_of(role, tied);
    for (ColumnSetRecord& set : calm.sets) set = set_of(set.kind);
    return calm;
  }
  const EncodingRecord four = affine_encoding(4, 32, Element::u8, true, ZeroKind::u4);
  const EncodingRecord eight = affine_encoding(8, 0, Element::f32, false, ZeroKind::constant);
  const EncodingRecord half = real_encoding(Element::f16);
  switch (role) {
    case Role::q:
    case Role::k:
    case Role::v:
      return {"outliers",
              {set_of(ColumnKind::list), set_of(ColumnKind::rest, QuantizerKind::integer, 8, true)},
              {{half, 0}, {four, 1, role == Role::v, role == Role::q}},
              SmoothState::apply,
              Element::i8,
              3,
              true};
    case Role::o:
      return {
          "symmetric", {set_of(ColumnKind::all, QuantizerKind::integer, 8)}, {{eight, 0, true}}};
    case Role::gate:
    case Role::up:
      return {"minifloat", {set_of(ColumnKind::all, QuantizerKind::minifloat)}, {{four}}};
    case Role::down:
      return {"two parts",
              {set_of(ColumnKind::all)},
              {{four, 0, true}, {eight}},
              SmoothState::apply,
              Element::f16,
              4};
    default:
      break;
  }
  if (tied)
    return {"head", {set_of(ColumnKind::all)}, {{half}}, SmoothState::none, Element::f16, 2};
  return {"head", {set_of(ColumnKind::all)}, {{half}}};
}

/// `smoothed` is the name of a vector that gets an input record with smoothing to be applied.
inline void write_model(const ModelDescription& d, const std::filesystem::path& path,
                        const std::string& smoothed = {}, bool quantizers = true) {
  auto specs = tensor_specs(d);
  std::sort(specs.begin(), specs.end(),
            [](const TensorSpec& a, const TensorSpec& b) { return a.name < b.name; });
  ComposedFile made(5);
  std::map<int64_t, uint32_t> inputs;
  for (const TensorSpec& spec : specs) {
    const Composition c = composition_of(spec.role, d.tied, quantizers);
    if (spec.rows == 1) {
      const Composition divided = {"", {set_of(ColumnKind::all)}, {}, SmoothState::apply};
      made.add_vector(spec.name, spec.columns,
                      spec.name == smoothed ? made.add_input(divided, spec.columns) : kNone);
      continue;
    }
    // The embedding of an untied model has no activation of its own; a record does no harm.
    const auto known = inputs.find(spec.input);
    const uint32_t input = known != inputs.end() ? known->second : made.add_input(c, spec.columns);
    inputs[spec.input] = input;
    made.add_tensor(spec.name, c, spec.rows, input);
  }
  Json meta = *parse_json(kSampleMeta, "meta");
  meta["model"] = description_to_json(d);
  const auto written = made.write(path, meta.dump());
  ASSERT_TRUE(written) << written.error().message;
}

}  // namespace sqf
