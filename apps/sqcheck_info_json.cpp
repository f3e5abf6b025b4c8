// sqcheck info --json: everything that the head says, tensor by tensor.

#include "apps/sqcheck.hpp"

namespace sqf {
namespace {

const char* packing_name(Packing packing) {
  constexpr const char* kNames[] = {"tile16 values", "tile16 codes", "tile16 groups", "vector"};
  return kNames[static_cast<size_t>(packing)];
}

std::string stored_element(Element element) {
  switch (element) {
    case Element::digits2:
      return "radix 2";
    case Element::digits3:
      return "radix 3";
    case Element::digits4:
      return "radix 4";
    case Element::digits5:
      return "radix 5";
    case Element::digits16:
      return "radix 16";
    case Element::digits256:
      return "radix 256";
    default:
      return element_name(element);
  }
}

Json component_json(const Directory& d, const std::string& what, uint32_t index) {
  const ComponentRecord& c = d.components[index];
  return {{"what", what},
          {"index", index},
          {"element", stored_element(c.element)},
          {"packing", packing_name(c.packing)},
          {"rows", c.rows},
          {"cols", c.cols},
          {"offset", c.offset},
          {"bytes", c.size}};
}

/// The fields that mean something for the grid.
Json encoding_json(const EncodingRecord& e) {
  constexpr const char* kGrids[] = {"real", "affine", "minifloat", "levels"};
  constexpr const char* kZeros[] = {"none", "constant", "u4", "u8", "f16 minimum"};
  Json json = {{"words", describe(e)}, {"grid", kGrids[static_cast<size_t>(e.grid)]}};
  if (e.grid == Grid::real) {
    json["value_type"] = element_name(e.value_type);
    return json;
  }
  json["radices"] = std::vector<uint16_t>(e.radices.begin(), e.radices.begin() + e.plane_count);
  json["group"] = e.group;
  json["scale_type"] = element_name(e.scale_type);
  json["row_factor"] = e.row_factor != 0;
  if (e.grid == Grid::affine) {
    json["zero"] = kZeros[static_cast<size_t>(e.zero)];
    if (e.zero == ZeroKind::constant) json["zero_constant"] = e.zero_constant;
  } else if (e.grid == Grid::minifloat) {
    json["exponent_bits"] = e.exponent_bits;
    json["mantissa_bits"] = e.mantissa_bits;
    json["exponent_bias"] = e.exponent_bias;
    json["minifloat"] = e.minifloat == MinifloatKind::ocp ? "ocp" : "saturating";
  } else {
    json["levels"] = std::vector<float>(e.levels.begin(), e.levels.begin() + e.level_count);
  }
  return json;
}

Json input_json(const Directory& d, uint32_t index) {
  constexpr const char* kStates[] = {"none", "folded", "apply"};
  constexpr const char* kNames[] = {"none", "all", "list", "rest"};
  const InputRecord& input = d.inputs[index];
  Json sets = Json::array();
  for (size_t s = 0; s < input.set_count; s++) {
    const ColumnSetRecord& set = input.sets[s];
    Json json = {{"kind", kNames[static_cast<size_t>(set.kind)]},
                 {"count", set.count},
                 {"quantizer", quantizer_text(set)}};
    if (set.columns != kNone) json["columns"] = component_json(d, "columns", set.columns);
    sets.push_back(json);
  }
  Json json = {{"index", index},
               {"columns", input.columns},
               {"smoothing", kStates[static_cast<size_t>(input.smooth_state)]},
               {"sets", sets},
               {"words", input_text(input)}};
  if (input.smooth != kNone) json["smooth"] = component_json(d, "smoothing vector", input.smooth);
  return json;
}

Json tensor_json(const Directory& d, const TensorRecord& t) {
  const uint64_t bytes = stored_bytes(d, t);
  const PartRecord& first = d.parts[t.part_first];
  const MatrixShape m = matrix_shape(t);
  Json json = {{"name", d.name(t)},
               {"shape", std::vector<uint64_t>(t.shape.begin(), t.shape.begin() + t.rank)},
               {"weights", element_count(t)},
               {"bytes", bytes},
               {"bits_per_weight", bits_per_weight(bytes, element_count(t))},
               {"encoding", describe(d.encodings[first.encoding])},
               {"input", t.input == kNone ? Json() : Json(t.input)}};
  Json parts = Json::array();
  for (uint32_t p = 0; p < t.part_count; p++) {
    const PartRecord& part = d.parts[t.part_first + p];
    parts.push_back({{"encoding", part.encoding},
                     {"column_set", part.column_set},
                     {"columns", part_columns(d, t, part)},
                     {"experts", m.experts},
                     {"rows", m.rows},
                     {"components", Json::array()}});
  }
  Json own = Json::array();
  for (const Piece& piece : pieces(d, t)) {
    Json& list = piece.part == kNone ? own : parts[piece.part]["components"];
    list.push_back(component_json(d, piece.what, piece.component));
  }
  json["parts"] = parts;
  if (!own.empty()) json["components"] = own;
  if (t.rank_pair != 0) json["low_rank"] = t.rank_pair;
  return json;
}

Json sections_json(const Head& head) {
  Json sections = Json::array();
  for (const SectionRecord& s : head.sections)
    sections.push_back({{"kind", section_name(s.kind)},
                        {"offset", s.offset},
                        {"bytes", s.stored_size},
                        {"raw_bytes", s.raw_size},
                        {"compressed", (s.flags & section_compressed) != 0},
                        {"critical", (s.flags & section_critical) != 0}});
  return sections;
}

}  // namespace

Json ranges_json(const Ranges& r) {
  Json json = {{"min", r.low},
               {"max", r.high},
               {"mean_abs", r.mean_abs},
               {"zeros", r.zeros},
               {"non_finite", r.non_finite}};
  if (r.has_scales) json["scales"] = {{"min", r.scale_low}, {"max", r.scale_high}};
  return json;
}

Json info_json(const Head& head, std::span<const Ranges> ranges) {
  const Directory& d = head.directory;
  const FileBytes bytes = file_bytes(head);
  Json encodings = Json::array(), inputs = Json::array(), tensors = Json::array();
  const std::vector<Totals> totals = totals_by_encoding(d);
  for (size_t e = 0; e < d.encodings.size(); e++) {
    Json json = encoding_json(d.encodings[e]);
    json["tensors"] = totals[e].tensors;
    json["weights"] = totals[e].weights;
    json["bytes"] = totals[e].bytes;
    json["bits_per_weight"] = bits_per_weight(totals[e].bytes, totals[e].weights);
    encodings.push_back(json);
  }
  for (uint32_t i = 0; i < d.inputs.size(); i++) inputs.push_back(input_json(d, i));
  for (size_t i = 0; i < d.tensors.size(); i++) {
    tensors.push_back(tensor_json(d, d.tensors[i]));
    if (!ranges.empty()) tensors.back()["ranges"] = ranges_json(ranges[i]);
  }
  return {{"version", std::to_string(head.header.major) + "." + std::to_string(head.header.minor)},
          {"file_bytes", head.header.file_size},
          {"features", feature_words(head)},
          {"meta", head.meta},
          {"sections", sections_json(head)},
          {"encodings", encodings},
          {"inputs", inputs},
          {"tensors", tensors},
          {"weights", bytes.weights},
          {"data",
           {{"bytes", bytes.data()},
            {"tensors", bytes.tensors},
            {"inputs", bytes.inputs},
            {"gaps", bytes.gaps}}},
          {"bits_per_weight", bits_per_weight(bytes.data(), bytes.weights)}};
}

}  // namespace sqf
