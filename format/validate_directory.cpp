// Rules R402..R413: what the directory's records must say of each other. One pass over each
// array; every index is checked before it is used, every product before it is taken.

#include <cmath>
#include <cstring>

#include "format/directory.hpp"
#include "format/rules.hpp"
#include "format/text.hpp"

namespace sqf {
namespace {

template <size_t N>
bool all_zero(const uint32_t (&fields)[N]) {
  for (uint32_t field : fields)
    if (field != 0) return false;
  return true;
}

std::string text(uint64_t value) {
  return std::to_string(value);
}

class DirectoryCheck {
 public:
  DirectoryCheck(const Directory& directory, uint64_t data_begin, uint64_t data_end, uint64_t align)
      : d_(directory), data_begin_(data_begin), data_end_(data_end), align_(align) {}

  Result<void> run() {
    used_components_.assign(d_.components.size(), false);
    used_encodings_.assign(d_.encodings.size(), false);
    used_inputs_.assign(d_.inputs.size(), false);
    for (uint32_t i = 0; i < d_.encodings.size(); i++)
      if (auto problem = encoding_problem(d_.encodings[i]))
        return broken(Rule::encoding_record, "encoding " + text(i) + ": " + *problem);
    for (uint32_t i = 0; i < d_.inputs.size(); i++)
      if (auto r = input(i); !r) return r;
    if (auto r = names(); !r) return r;
    uint32_t next_part = 0;
    for (const TensorRecord& record : d_.tensors)
      if (auto r = tensor(record, next_part); !r) return r;
    if (next_part != d_.parts.size())
      return broken(Rule::unreferenced, "part " + text(next_part) + " belongs to no tensor");
    if (auto r = places(); !r) return r;
    return everything_used();
  }

 private:
  /// Component `index` is used here, and must look like `shape`.
  Result<void> use(uint32_t index, const ComponentShape& shape, const std::string& where) {
    if (index >= d_.components.size())
      return broken(Rule::component_index,
                    where + ": component " + text(index) + " of " + text(d_.components.size()));
    if (used_components_[index])
      return broken(Rule::component_index, where + ": component " + text(index) + " is used twice");
    used_components_[index] = true;
    const ComponentRecord& c = d_.components[index];
    if (c.element != shape.element || c.packing != shape.packing)
      return broken(Rule::component_shape,
                    where + ": component " + text(index) + " holds " + element_name(c.element) +
                        ", expected " + element_name(shape.element) +
                        (c.packing != shape.packing ? ", in another packing" : ""));
    if (c.rows != shape.rows || c.cols != shape.cols)
      return broken(Rule::component_shape, where + ": component " + text(index) + " is [" +
                                               text(c.rows) + ", " + text(c.cols) +
                                               "], expected [" + text(shape.rows) + ", " +
                                               text(shape.cols) + "]");
    if (c.size != component_bytes(shape))
      return broken(Rule::component_shape, where + ": component " + text(index) + " has " +
                                               text(c.size) + " bytes, expected " +
                                               text(component_bytes(shape)));
    return {};
  }

  Result<void> input(uint32_t index) {
    const InputRecord& in = d_.inputs[index];
    const auto bad = [&](const std::string& why) {
      return broken(Rule::input_record, "input " + text(index) + ": " + why);
    };
    if (in.reserved_a != 0 || in.reserved_b[0] != 0 || in.reserved_b[1] != 0)
      return broken(Rule::directory_reserved, "input " + text(index));
    if (in.columns == 0 || in.columns > kMaxDim) return bad(text(in.columns) + " columns");
    if (in.smooth_state > SmoothState::apply) return bad("unknown smoothing state");
    if ((in.smooth_state == SmoothState::none) != (in.smooth == kNone))
      return bad("smoothing state and vector disagree");
    if (in.smooth != kNone)
      if (auto r = use(in.smooth, {Element::f32, Packing::vector, 1, in.columns},
                       "input " + text(index) + " smoothing vector");
          !r)
        return r;
    if (in.set_count < 1 || in.set_count > kMaxColumnSets)
      return bad(text(in.set_count) + " column sets");
    uint64_t covered = 0;
    int rests = 0;
    for (uint32_t s = 0; s < kMaxColumnSets; s++) {
      const ColumnSetRecord& set = in.sets[s];
      if (s >= in.set_count) {
        const ColumnSetRecord unused = {};
        if (std::memcmp(&set, &unused, sizeof set) != 0)
          return broken(Rule::directory_reserved, "unused column set of input " + text(index));
        continue;
      }
      if (auto r = column_set(in, set, bad, index); !r) return r;
      covered += set.count;  // each is at most K, so four of them cannot wrap
      rests += set.kind == ColumnKind::rest;
    }
    if (covered != in.columns || rests > 1)
      return bad("its column sets cover " + text(covered) + " of " + text(in.columns) + " columns");
    return {};
  }

  template <typename Bad>
  Result<void> column_set(const InputRecord& in, const ColumnSetRecord& set, const Bad& bad,
                          uint32_t index) {
    if (set.kind < ColumnKind::all || set.kind > ColumnKind::rest)
      return bad("unknown column kind");
    if (set.count == 0 || set.count > in.columns) return bad("a set of " + text(set.count));
    if (set.kind == ColumnKind::all && in.set_count != 1) return bad("all columns and another set");
    if ((set.kind == ColumnKind::list) != (set.columns != kNone))
      return bad("column kind and list disagree");
    if (set.reserved != 0) return broken(Rule::directory_reserved, "input " + text(index));
    if (set.per_tensor > 1 || set.asymmetric > 1 || set.is_static > 1) return bad("a flag above 1");
    switch (set.quantizer) {
      case QuantizerKind::none:
        if (set.bits != 0 || set.per_tensor != 0 || set.asymmetric != 0 || set.is_static != 0)
          return bad("fields of a quantizer that is not there");
        break;
      case QuantizerKind::integer:
        if (set.bits < 2 || set.bits > 8) return bad(text(set.bits) + "-bit activations");
        break;
      case QuantizerKind::minifloat:
        if (set.bits != 0 || set.exponent_bits < 1 || set.exponent_bits + set.mantissa_bits > 7 ||
            set.exponent_bits + set.mantissa_bits < 2)
          return bad("unknown minifloat activations");
        break;
      default:
        return bad("unknown quantizer");
    }
    if (set.quantizer != QuantizerKind::minifloat && (set.exponent_bits | set.mantissa_bits) != 0)
      return bad("minifloat fields on another quantizer");
    const bool scaled = std::isfinite(set.scale) && set.scale > 0 && std::isfinite(set.low);
    const bool blank =
        std::bit_cast<uint32_t>(set.scale) == 0 && std::bit_cast<uint32_t>(set.low) == 0;
    if (set.is_static ? !scaled : !blank)
      return bad("static scale missing, or present without use");
    if (set.kind == ColumnKind::list)
      return use(set.columns, {Element::u32, Packing::vector, 1, set.count},
                 "input " + text(index) + " column list");
    return {};
  }

  Result<void> names() {
    uint64_t next = 0;
    std::string_view previous;
    for (uint32_t i = 0; i < d_.tensors.size(); i++) {
      const TensorRecord& t = d_.tensors[i];
      const auto bad = [&](const std::string& why) {
        return broken(Rule::tensor_name, "tensor " + text(i) + ": " + why);
      };
      if (t.name_size < 1 || t.name_size > kMaxNameBytes)
        return bad("name of " + text(t.name_size) + " bytes");
      if (t.name_offset != next || next + t.name_size > d_.names.size())
        return bad("name at " + text(t.name_offset) + " of the pool, expected " + text(next));
      next += t.name_size;
      const std::string_view name = d_.name(t);
      if (!is_utf8(name)) return bad("name is not UTF-8");
      for (char c : name)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return bad("control byte in name");
      if (i > 0 && name <= previous)
        return broken(Rule::tensor_order, in_quotes(name) + " after " + in_quotes(previous));
      previous = name;
    }
    if (next != d_.names.size())
      return broken(Rule::unreferenced,
                    "name pool has " + text(d_.names.size() - next) + " more bytes");
    return {};
  }

  Result<void> shape(const TensorRecord& t, const std::string& name) {
    const auto bad = [&](const std::string& why) {
      return broken(Rule::tensor_shape, name + ": " + why);
    };
    if (t.rank < 1 || t.rank > kMaxRank) return bad("rank " + text(t.rank));
    uint64_t elements = 1;
    for (size_t i = 0; i < kMaxRank; i++) {
      const uint64_t dim = t.shape[i];
      if (i >= t.rank) {
        if (dim != 0) return bad("unused dimension is " + text(dim));
        continue;
      }
      if (dim == 0) return bad("dimension " + text(i) + " is zero");
      if (dim > kMaxElements / elements) return bad("more than 2^46 elements");
      elements *= dim;
    }
    // Padded to whole tiles and words a matrix stays below 2^56 bytes, so sizes cannot wrap.
    return {};
  }

  Result<void> tensor(const TensorRecord& t, uint32_t& next_part) {
    const std::string name = in_quotes(d_.name(t));
    const auto bad = [&](const std::string& why) {
      return broken(Rule::tensor_record, name + ": " + why);
    };
    if (auto r = shape(t, name); !r) return r;
    if (t.flags != 0 || !all_zero(t.reserved)) return broken(Rule::directory_reserved, name);
    const MatrixShape m = matrix_shape(t);
    if (t.input != kNone) {
      if (t.input >= d_.inputs.size()) return bad("input record " + text(t.input));
      used_inputs_[t.input] = true;
      if (d_.inputs[t.input].columns != m.columns)
        return bad("reads " + text(m.columns) + " columns, its input has " +
                   text(d_.inputs[t.input].columns));
    }
    constexpr uint32_t kMaxParts = 16;
    if (t.part_first != next_part || t.part_count < 1 || t.part_count > kMaxParts ||
        t.part_count > d_.parts.size() - next_part)
      return bad("parts " + text(t.part_first) + " and " + text(t.part_count) + " on, expected " +
                 text(next_part));
    next_part += t.part_count;
    if (t.input == kNone && t.part_count != 1) return bad("several parts without an input record");
    for (uint32_t p = t.part_first; p < next_part; p++)
      if (auto r = part(t, m, d_.parts[p], name); !r) return r;
    if (t.bias != kNone)
      if (auto r = use(t.bias, {Element::f32, Packing::vector, m.experts, m.rows}, name + " bias");
          !r)
        return r;
    return low_rank(t, m, name);
  }

  Result<void> low_rank(const TensorRecord& t, const MatrixShape& m, const std::string& name) {
    const uint32_t indices[] = {t.low_rank_a, t.low_rank_b, t.low_rank_a_scales,
                                t.low_rank_b_scales};
    const auto bad = [&](const std::string& why) {
      return broken(Rule::tensor_record, name + ": low-rank pair: " + why);
    };
    if (t.rank_pair == 0) {
      for (uint32_t index : indices)
        if (index != kNone) return bad("a component without a rank");
      return {};
    }
    if (t.rank_pair > m.columns || t.rank_pair > m.rows) return bad("rank " + text(t.rank_pair));
    if (t.low_rank_a >= d_.components.size()) return bad("factor missing");
    const Element element = d_.components[t.low_rank_a].element;
    if (element != Element::f16 && element != Element::i8)
      return bad(std::string("factors of ") + element_name(element));
    const uint64_t r = t.rank_pair;
    const auto factor = [&](uint64_t rows, uint64_t cols) {
      return ComponentShape{element, Packing::row_major, m.experts * rows, cols};
    };
    if (auto ok = use(t.low_rank_a, factor(m.rows, r), name + " low-rank A"); !ok) return ok;
    if (auto ok = use(t.low_rank_b, factor(r, m.columns), name + " low-rank B"); !ok) return ok;
    if (element == Element::f16) {
      if (t.low_rank_a_scales != kNone || t.low_rank_b_scales != kNone) return bad("scales on f16");
      return {};
    }
    const auto scales = [&](uint64_t rows) {
      return ComponentShape{Element::f32, Packing::vector, m.experts * rows, 1};
    };
    if (auto ok = use(t.low_rank_a_scales, scales(m.rows), name + " low-rank A scales"); !ok)
      return ok;
    return use(t.low_rank_b_scales, scales(r), name + " low-rank B scales");
  }

  Result<void> part(const TensorRecord& t, const MatrixShape& m, const PartRecord& p,
                    const std::string& name) {
    const auto bad = [&](const std::string& why) {
      return broken(Rule::part_record, name + ": " + why);
    };
    if (p.reserved != 0) return broken(Rule::directory_reserved, name);
    if (p.encoding >= d_.encodings.size()) return bad("encoding " + text(p.encoding));
    used_encodings_[p.encoding] = true;
    const EncodingRecord& e = d_.encodings[p.encoding];
    const uint32_t sets = t.input == kNone ? 1 : d_.inputs[t.input].set_count;
    if (p.column_set >= sets) return bad("column set " + text(p.column_set) + " of " + text(sets));
    const auto planes = static_cast<size_t>(e.grid == Grid::real ? 1 : e.plane_count);
    for (size_t i = planes; i < kMaxPlanes; i++)
      if (p.planes[i] != kNone) return bad("a component for a plane that its encoding lacks");
    if ((e.scale_type == Element::none && p.scales != kNone) ||
        (e.row_factor == 0 && p.row_factors != kNone) ||
        (e.zero < ZeroKind::u4 && p.zeros != kNone) ||
        (e.grid == Grid::real && p.row_sums != kNone))
      return bad("a component that its encoding does not use");
    const uint64_t columns = part_columns(d_, t, p);
    Result<void> result;
    each_component(p, e, m, columns,
                   [&](uint32_t index, const ComponentShape& s, const char* what) {
                     if (result) result = use(index, s, name + " " + what);
                   });
    return result;
  }

  Result<void> places() {
    uint64_t next = data_begin_;
    for (uint32_t i = 0; i < d_.components.size(); i++) {
      const ComponentRecord& c = d_.components[i];
      if (c.reserved_a != 0 || c.reserved_b[0] != 0 || c.reserved_b[1] != 0)
        return broken(Rule::directory_reserved, "component " + text(i));
      next = (next + align_ - 1) / align_ * align_;
      if (c.offset != next || c.size > kMaxFileBytes || next + c.size > data_end_)
        return broken(Rule::component_place, "component " + text(i) + " at " + text(c.offset) +
                                                 " with " + text(c.size) + " bytes, expected at " +
                                                 text(next) + " in DATA up to " + text(data_end_));
      next += c.size;
    }
    if (next != data_end_)
      return broken(Rule::component_place,
                    "components end at " + text(next) + ", DATA at " + text(data_end_));
    return {};
  }

  Result<void> everything_used() {
    const auto unused = [](const std::vector<bool>& used) {
      for (size_t i = 0; i < used.size(); i++)
        if (!used[i]) return i;
      return used.size();
    };
    if (size_t i = unused(used_components_); i < used_components_.size())
      return broken(Rule::unreferenced, "component " + text(i));
    if (size_t i = unused(used_encodings_); i < used_encodings_.size())
      return broken(Rule::unreferenced, "encoding " + text(i));
    if (size_t i = unused(used_inputs_); i < used_inputs_.size())
      return broken(Rule::unreferenced, "input " + text(i));
    return {};
  }

  const Directory& d_;
  uint64_t data_begin_, data_end_, align_;
  std::vector<bool> used_components_, used_encodings_, used_inputs_;
};

}  // namespace

Result<void> validate_directory(const Directory& directory, uint64_t data_begin, uint64_t data_end,
                                uint64_t align) {
  return DirectoryCheck(directory, data_begin, data_end, align).run();
}

}  // namespace sqf
