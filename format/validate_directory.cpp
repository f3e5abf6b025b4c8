// Rules R402..R413: what the directory's records must say of each other. One pass over each
// array; every index is checked before it is used, every product before it is taken.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "format/codes.hpp"
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

class DirectoryCheck {
 public:
  DirectoryCheck(const Directory& directory, uint64_t data_begin, uint64_t data_end, uint64_t align)
      : d_(directory), data_begin_(data_begin), data_end_(data_end), align_(align) {}

  /// Steps 8 to 12 of spec/sqf.md section 6; the first that finds something is the last.
  void run(Findings& findings) {
    used_components_.assign(d_.components.size(), false);
    used_encodings_.assign(d_.encodings.size(), false);
    used_inputs_.assign(d_.inputs.size(), false);
    for (uint32_t i = 0; i < d_.encodings.size() && !findings.full(); i++)
      if (auto problem = encoding_problem(d_.encodings[i]))
        findings.add(broken(Rule::encoding_record, "encoding " + decimal(i) + ": " + *problem));
    if (!findings.empty()) return;
    for (uint32_t i = 0; i < d_.inputs.size() && !findings.full(); i++) findings.add(input(i));
    if (!findings.empty()) return;
    names(findings);
    if (!findings.empty()) return;
    uint32_t next_part = 0;
    for (size_t i = 0; i < d_.tensors.size() && !findings.full(); i++) {
      tensor_ = &d_.tensors[i];
      if (auto r = tensor(*tensor_, next_part); !r)
        findings.add(Error(r.error()).of(d_.name(*tensor_)));
    }
    tensor_ = nullptr;
    if (!findings.empty()) return;
    if (next_part != d_.parts.size())
      findings.add(
          broken(Rule::unreferenced, "part " + decimal(next_part) + " belongs to no tensor"));
    findings.add(places());
    everything_used(findings);
  }

 private:
  /// The record being checked, for messages: built only when there is something to say.
  std::string where() const {
    return tensor_ != nullptr ? in_quotes(d_.name(*tensor_)) : "input " + decimal(input_);
  }

  /// Component `index` is used here as `what`, and must look like `shape`.
  Result<void> use(uint32_t index, const ComponentShape& shape, const char* what) {
    const auto bad = [&](Rule rule, const std::string& why) {
      return broken(rule, where() + " " + what + ": component " + decimal(index) + why);
    };
    if (index >= d_.components.size())
      return bad(Rule::component_index, " of " + decimal(d_.components.size()));
    if (used_components_[index]) return bad(Rule::component_index, " is used twice");
    used_components_[index] = true;
    const ComponentRecord& c = d_.components[index];
    if (c.element != shape.element || c.packing != shape.packing)
      return bad(Rule::component_shape,
                 std::string(" holds ") + element_name(c.element) + ", expected " +
                     element_name(shape.element) +
                     (c.packing != shape.packing ? ", in another packing" : ""))
          .at(c.offset)
          .values(element_name(shape.element), element_name(c.element));
    if (c.rows != shape.rows || c.cols != shape.cols)
      return bad(Rule::component_shape, " is [" + decimal(c.rows) + ", " + decimal(c.cols) +
                                            "], expected [" + decimal(shape.rows) + ", " +
                                            decimal(shape.cols) + "]")
          .at(c.offset)
          .values("[" + decimal(shape.rows) + ", " + decimal(shape.cols) + "]",
                  "[" + decimal(c.rows) + ", " + decimal(c.cols) + "]");
    const uint64_t size = component_bytes(shape);
    if (c.size != size)
      return bad(Rule::component_shape,
                 " has " + decimal(c.size) + " bytes, expected " + decimal(size))
          .at(c.offset)
          .values(decimal(size), decimal(c.size));
    return {};
  }

  Result<void> input(uint32_t index) {
    input_ = index;
    const InputRecord& in = d_.inputs[index];
    const auto bad = [&](const std::string& why) {
      return broken(Rule::input_record, where() + ": " + why);
    };
    if (in.reserved_a != 0 || in.reserved_b[0] != 0 || in.reserved_b[1] != 0)
      return broken(Rule::directory_reserved, where());
    for (uint32_t s = 0; s < kMaxColumnSets; s++) {
      const ColumnSetRecord unused = {};
      if (s >= in.set_count && std::memcmp(&in.sets[s], &unused, sizeof unused) != 0)
        return broken(Rule::directory_reserved, "unused column set of " + where());
      if (in.sets[s].reserved != 0) return broken(Rule::directory_reserved, where());
    }
    if (in.columns == 0 || in.columns > kMaxDim) return bad(decimal(in.columns) + " columns");
    if (in.smooth_state > SmoothState::apply) return bad("unknown smoothing state");
    if ((in.smooth_state == SmoothState::none) != (in.smooth == kNone))
      return bad("smoothing state and vector disagree");
    if (in.set_count > kMaxColumnSets) return bad(decimal(in.set_count) + " column sets");
    uint64_t covered = 0;
    int rests = 0;
    for (uint32_t s = 0; s < std::min<uint32_t>(in.set_count, kMaxColumnSets); s++) {
      if (auto r = column_set(in, in.sets[s], bad); !r) return r;
      covered += in.sets[s].count;  // each is at most K, so four of them cannot wrap
      rests += in.sets[s].kind == ColumnKind::rest;
    }
    if (covered != in.columns || rests > 1)
      return bad("its column sets cover " + decimal(covered) + " of " + decimal(in.columns) +
                 " columns");
    if (in.smooth != kNone)
      if (auto r =
              use(in.smooth, {Element::f32, Packing::vector, 1, in.columns}, "smoothing vector");
          !r)
        return r;
    for (uint32_t s = 0; s < std::min<uint32_t>(in.set_count, kMaxColumnSets); s++)
      if (in.sets[s].kind == ColumnKind::list)
        if (auto r = use(in.sets[s].columns, {Element::u32, Packing::vector, 1, in.sets[s].count},
                         "column list");
            !r)
          return r;
    return {};
  }

  template <typename Bad>
  Result<void> column_set(const InputRecord& in, const ColumnSetRecord& set, const Bad& bad) {
    if (set.kind < ColumnKind::all || set.kind > ColumnKind::rest)
      return bad("unknown column kind");
    if (set.count == 0 || set.count > in.columns) return bad("a set of " + decimal(set.count));
    if (set.kind == ColumnKind::all && in.set_count != 1) return bad("all columns and another set");
    if ((set.kind == ColumnKind::list) != (set.columns != kNone))
      return bad("column kind and list disagree");
    if (set.per_tensor > 1 || set.asymmetric > 1 || set.is_static > 1) return bad("a flag above 1");
    switch (set.quantizer) {
      case QuantizerKind::none:
        if (set.bits != 0 || set.per_tensor != 0 || set.asymmetric != 0 || set.is_static != 0)
          return bad("fields of a quantizer that is not there");
        break;
      case QuantizerKind::integer:
        if (set.bits < 2 || set.bits > 8) return bad(decimal(set.bits) + "-bit activations");
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
    return {};
  }

  void names(Findings& findings) {
    uint64_t next = 0;
    std::string_view previous;
    for (uint32_t i = 0; i < d_.tensors.size() && !findings.full(); i++) {
      const TensorRecord& t = d_.tensors[i];
      if (t.name_size < 1 || t.name_size > kMaxNameBytes || t.name_offset != next ||
          next + t.name_size > d_.names.size())
        // Where one name starts says where the next does: what follows cannot be judged.
        return findings.add(
            broken(Rule::tensor_name, "tensor " + decimal(i) + ": name of " + decimal(t.name_size) +
                                          " bytes at " + decimal(t.name_offset) +
                                          " of the pool, expected at " + decimal(next)));
      next += t.name_size;
      const std::string_view name = d_.name(t);
      if (auto why = name_problem(name))
        findings.add(broken(Rule::tensor_name, "tensor " + decimal(i) + ": " + why));
      else if (i > 0 && name <= previous)
        findings.add(
            broken(Rule::tensor_order, in_quotes(name) + " after " + in_quotes(previous)).of(name));
      previous = name;
    }
    if (findings.empty() && next != d_.names.size())
      findings.add(broken(Rule::unreferenced,
                          "name pool has " + decimal(d_.names.size() - next) + " more bytes"));
  }

  static const char* name_problem(std::string_view name) {
    if (!is_utf8(name)) return "name is not UTF-8";
    for (char c : name)
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return "control byte in name";
    return nullptr;
  }

  Result<void> shape(const TensorRecord& t) {
    const auto bad = [&](const std::string& why) {
      return broken(Rule::tensor_shape, where() + ": " + why);
    };
    if (t.rank < 1 || t.rank > kMaxRank) return bad("rank " + decimal(t.rank));
    uint64_t elements = 1;
    for (size_t i = 0; i < kMaxRank; i++) {
      const uint64_t dim = t.shape[i];
      if (i >= t.rank) {
        if (dim != 0) return bad("unused dimension is " + decimal(dim));
        continue;
      }
      if (dim == 0) return bad("dimension " + decimal(i) + " is zero");
      if (dim > kMaxElements / elements) return bad("more than 2^46 elements");
      elements *= dim;
    }
    // Padded to whole tiles and words a matrix stays below 2^56 bytes, so sizes cannot wrap.
    return {};
  }

  Result<void> tensor(const TensorRecord& t, uint32_t& next_part) {
    const auto bad = [&](const std::string& why) {
      return broken(Rule::tensor_record, where() + ": " + why);
    };
    if (auto r = shape(t); !r) return r;
    if (t.flags != 0 || !all_zero(t.reserved)) return broken(Rule::directory_reserved, where());
    const MatrixShape m = matrix_shape(t);
    if (t.input != kNone) {
      if (t.input >= d_.inputs.size()) return bad("input record " + decimal(t.input));
      used_inputs_[t.input] = true;
      if (d_.inputs[t.input].columns != m.columns)
        return bad("reads " + decimal(m.columns) + " columns, its input has " +
                   decimal(d_.inputs[t.input].columns));
    }
    constexpr uint32_t kMaxParts = 16;
    if (t.part_first != next_part || t.part_count > kMaxParts ||
        t.part_count > d_.parts.size() - next_part)
      return bad("parts " + decimal(t.part_first) + " and " + decimal(t.part_count) +
                 " on, expected " + decimal(next_part));
    next_part += t.part_count;
    if (t.input == kNone && t.part_count != 1) return bad("several parts without an input record");
    for (uint32_t p = t.part_first; p < next_part; p++)
      if (auto r = part(t, m, d_.parts[p]); !r) return r;
    if (t.input != kNone && !covers_all_sets(t)) return bad("a column set without a part");
    if (t.bias != kNone)
      if (auto r = use(t.bias, {Element::f32, Packing::vector, m.experts, m.rows}, "bias"); !r)
        return r;
    return low_rank(t, m);
  }

  /// A column set without a part would lose its columns.
  bool covers_all_sets(const TensorRecord& t) const {
    uint32_t covered = 0;
    for (uint32_t p = t.part_first; p < t.part_first + t.part_count; p++)
      covered |= 1u << d_.parts[p].column_set;
    const uint32_t all = (1u << d_.inputs[t.input].set_count) - 1;
    return (covered & all) == all;
  }

  Result<void> low_rank(const TensorRecord& t, const MatrixShape& m) {
    const uint32_t indices[] = {t.low_rank_a, t.low_rank_b, t.low_rank_a_scales,
                                t.low_rank_b_scales};
    const auto bad = [&](const std::string& why) {
      return broken(Rule::tensor_record, where() + ": low-rank pair: " + why);
    };
    if (t.rank_pair == 0) {
      for (uint32_t index : indices)
        if (index != kNone) return bad("a component without a rank");
      return {};
    }
    if (t.rank_pair > m.columns || t.rank_pair > m.rows) return bad("rank " + decimal(t.rank_pair));
    if (t.low_rank_a == kNone || t.low_rank_b == kNone) return bad("a factor missing");
    const bool scaled = t.low_rank_a_scales != kNone;
    if ((t.low_rank_b_scales != kNone) != scaled) return bad("scales of one factor alone");
    const Element element = scaled ? Element::i8 : Element::f16;
    const uint64_t r = t.rank_pair;
    const auto factor = [&](uint64_t rows, uint64_t cols) {
      return value_shape(element, m.experts, rows, cols);
    };
    if (auto ok = use(t.low_rank_a, factor(m.rows, r), "low-rank A"); !ok) return ok;
    if (auto ok = use(t.low_rank_b, factor(r, m.columns), "low-rank B"); !ok) return ok;
    if (!scaled) return {};
    const auto scales = [&](uint64_t rows) {
      return ComponentShape{Element::f32, Packing::vector, m.experts * rows, 1};
    };
    if (auto ok = use(t.low_rank_a_scales, scales(m.rows), "low-rank A scales"); !ok) return ok;
    return use(t.low_rank_b_scales, scales(r), "low-rank B scales");
  }

  Result<void> part(const TensorRecord& t, const MatrixShape& m, const PartRecord& p) {
    const auto bad = [&](const std::string& why) {
      return broken(Rule::part_record, where() + ": " + why);
    };
    if (p.reserved != 0) return broken(Rule::directory_reserved, where());
    if (p.encoding >= d_.encodings.size()) return bad("encoding " + decimal(p.encoding));
    used_encodings_[p.encoding] = true;
    const EncodingRecord& e = d_.encodings[p.encoding];
    const uint32_t sets = t.input == kNone ? 1 : d_.inputs[t.input].set_count;
    if (p.column_set >= sets)
      return bad("column set " + decimal(p.column_set) + " of " + decimal(sets));
    const auto planes = static_cast<size_t>(e.grid == Grid::real ? 1 : e.plane_count);
    for (size_t i = planes; i < kMaxPlanes; i++)
      if (p.planes[i] != kNone) return bad("a component for a plane that its encoding lacks");
    if ((e.scale_type == Element::none && p.scales != kNone) ||
        (e.row_factor == 0 && p.row_factors != kNone) ||
        (e.zero < ZeroKind::u4 && p.zeros != kNone))
      return bad("a component that its encoding does not use");
    if (p.row_sums != kNone && !integer_levels(e)) return bad("row sums of codes without integers");
    const uint64_t columns = part_columns(d_, t, p);
    const char* missing = nullptr;
    each_component(p, e, m, columns, [&](uint32_t index, const ComponentShape&, const char* what) {
      if (index == kNone && missing == nullptr) missing = what;
    });
    if (missing != nullptr) return bad(std::string("no component for its ") + missing);
    Result<void> result;
    each_component(p, e, m, columns,
                   [&](uint32_t index, const ComponentShape& s, const char* what) {
                     if (result) result = use(index, s, what);
                   });
    return result;
  }

  Result<void> places() {
    uint64_t next = data_begin_;
    for (uint32_t i = 0; i < d_.components.size(); i++) {
      const ComponentRecord& c = d_.components[i];
      if (c.reserved_a != 0 || c.reserved_b[0] != 0 || c.reserved_b[1] != 0)
        return broken(Rule::directory_reserved, "component " + decimal(i));
      next = (next + align_ - 1) / align_ * align_;
      // Nothing that goes beyond DATA is added up: the sum could wrap.
      if (c.offset != next || c.size > data_end_ - std::min(next, data_end_))
        return broken(Rule::component_place, "component " + decimal(i) + " at " +
                                                 decimal(c.offset) + " with " + decimal(c.size) +
                                                 " bytes, expected at " + decimal(next) +
                                                 " in DATA up to " + decimal(data_end_));
      next += c.size;
    }
    if (next != data_end_)
      return broken(Rule::component_place,
                    "components end at " + decimal(next) + ", DATA at " + decimal(data_end_));
    return {};
  }

  void everything_used(Findings& findings) {
    const auto unused = [](const std::vector<bool>& used) {
      for (size_t i = 0; i < used.size(); i++)
        if (!used[i]) return i;
      return used.size();
    };
    if (size_t i = unused(used_components_); i < used_components_.size())
      findings.add(broken(Rule::unreferenced, "component " + decimal(i)));
    if (size_t i = unused(used_encodings_); i < used_encodings_.size())
      findings.add(broken(Rule::unreferenced, "encoding " + decimal(i)));
    if (size_t i = unused(used_inputs_); i < used_inputs_.size())
      findings.add(broken(Rule::unreferenced, "input " + decimal(i)));
  }

  const Directory& d_;
  uint64_t data_begin_, data_end_, align_;
  std::vector<bool> used_components_, used_encodings_, used_inputs_;
  const TensorRecord* tensor_ = nullptr;  ///< being checked
  uint32_t input_ = 0;                    ///< being checked, where no tensor is
};

}  // namespace

void validate_directory(const Directory& directory, uint64_t data_begin, uint64_t data_end,
                        uint64_t align, Findings& findings) {
  DirectoryCheck(directory, data_begin, data_end, align).run(findings);
}

}  // namespace sqf
