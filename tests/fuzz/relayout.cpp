// A directory whose encodings or shapes were changed, with components to match.

#include <algorithm>

#include "format/head.hpp"
#include "format/test_vectors.hpp"
#include "tests/fuzz/reseal.hpp"

namespace sqf {
namespace {

/// Gives the components their shapes. Records that name nothing are passed over.
class Shaper {
 public:
  explicit Shaper(Directory& directory) : d_(directory) {}

  void run() {
    for (const InputRecord& in : d_.inputs) input(in);
    for (const TensorRecord& t : d_.tensors) {
      if (t.rank < 1 || t.rank > kMaxRank || !countable(t)) continue;
      const uint64_t parts = std::min<uint64_t>(t.part_count, 16);
      for (uint64_t p = t.part_first; p < t.part_first + parts && p < d_.parts.size(); p++)
        part(t, d_.parts[p]);
      const MatrixShape m = matrix_shape(t);
      set(t.bias, {Element::f32, Packing::vector, m.experts, m.rows});
      low_rank(t, m);
    }
  }

 private:
  void set(uint32_t index, const ComponentShape& shape) {
    if (index >= d_.components.size()) return;
    ComponentRecord& c = d_.components[index];
    c.element = shape.element;
    c.packing = shape.packing;
    c.rows = shape.rows;
    c.cols = shape.cols;
    c.size = component_bytes(shape);
  }

  /// Shapes so small that no product of theirs wraps.
  static bool countable(const TensorRecord& t) {
    constexpr uint64_t kMax = 1 << 16;
    uint64_t elements = 1;
    for (size_t i = 0; i < t.rank; i++) {
      if (t.shape[i] == 0 || t.shape[i] > kMax) return false;
      elements *= t.shape[i];
    }
    return elements <= kMax;
  }

  void input(const InputRecord& in) {
    constexpr uint64_t kMax = 1 << 16;
    if (in.columns > kMax) return;
    set(in.smooth, {Element::f32, Packing::vector, 1, in.columns});
    for (const ColumnSetRecord& s : in.sets)
      if (s.kind == ColumnKind::list && s.count <= kMax)
        set(s.columns, {Element::u32, Packing::vector, 1, s.count});
  }

  void part(const TensorRecord& t, const PartRecord& p) {
    if (p.encoding >= d_.encodings.size() || encoding_problem(d_.encodings[p.encoding])) return;
    if (t.input != kNone && (t.input >= d_.inputs.size() || p.column_set >= kMaxColumnSets)) return;
    const uint64_t columns = part_columns(d_, t, p);
    if (columns == 0 || columns > matrix_shape(t).columns) return;
    each_component(p, d_.encodings[p.encoding], matrix_shape(t), columns,
                   [&](uint32_t index, const ComponentShape& s, const char*) { set(index, s); });
  }

  void low_rank(const TensorRecord& t, const MatrixShape& m) {
    if (t.rank_pair == 0 || t.rank_pair > m.rows || t.low_rank_a >= d_.components.size()) return;
    const Element element = d_.components[t.low_rank_a].element;
    if (element != Element::f16 && element != Element::i8) return;
    set(t.low_rank_a, value_shape(element, m.experts, m.rows, t.rank_pair));
    set(t.low_rank_b, value_shape(element, m.experts, t.rank_pair, m.columns));
    set(t.low_rank_a_scales, {Element::f32, Packing::vector, m.experts * m.rows, 1});
    set(t.low_rank_b_scales, {Element::f32, Packing::vector, m.experts * t.rank_pair, 1});
  }

  Directory& d_;
};

std::vector<std::byte> slice(const Piece& data, uint64_t offset, uint64_t size) {
  std::vector<std::byte> bytes;
  const uint64_t at = offset - data.record.offset;
  if (offset >= data.record.offset && at < data.bytes.size())
    bytes.assign(data.bytes.begin() + static_cast<ptrdiff_t>(at),
                 data.bytes.begin() +
                     static_cast<ptrdiff_t>(at + std::min<uint64_t>(size, data.bytes.size() - at)));
  return bytes;
}

}  // namespace

bool relayout(Pieces& pieces, Directory directory, uint64_t max_data) {
  Piece* tdir = pieces.find(SectionKind::tdir);
  Piece* data = pieces.find(SectionKind::data);
  if (tdir == nullptr || data == nullptr) return false;
  const std::vector<ComponentRecord> before = directory.components;
  Shaper(directory).run();
  const uint64_t align = uint64_t{1} << std::clamp<int>(pieces.header.comp_align_log2, 6, 12);
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < before.size(); i++) {
    ComponentRecord& c = directory.components[i];
    const uint64_t start = (bytes.size() + align - 1) / align * align;
    if (c.size > max_data || start + c.size > max_data) return false;
    bytes.resize(start);
    std::vector<std::byte> content = slice(*data, before[i].offset, before[i].size);
    content.resize(c.size);
    bytes.insert(bytes.end(), content.begin(), content.end());
    c.offset = data->record.offset + start;
  }
  data->bytes = std::move(bytes);
  tdir->bytes = serialize(directory);
  Piece* encv = pieces.find(SectionKind::encv);
  const bool valid =
      std::none_of(directory.encodings.begin(), directory.encodings.end(),
                   [](const EncodingRecord& e) { return encoding_problem(e).has_value(); });
  constexpr size_t kMaxVectors = 4;
  if (encv != nullptr && valid && directory.encodings.size() <= kMaxVectors) {
    const std::string vectors = make_test_vectors(directory.encodings);
    const auto view = std::as_bytes(std::span(vectors));
    encv->bytes.assign(view.begin(), view.end());
  }
  return true;
}

}  // namespace sqf
