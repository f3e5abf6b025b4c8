#pragma once
// Files with tensors of random numbers in any composition: parts in any encodings over any column
// sets, factors, row sums, smoothing, a low-rank pair, a bias.

#include "format/scalar.hpp"
#include "tests/loader/sample_file.hpp"
#include "tests/runtime/packed_part.hpp"

namespace sqf {

struct ComposedPart {
  EncodingRecord encoding;
  uint32_t set = 0;
  bool factors = false;
  bool row_sums = false;
  bool unit_scales = false;  ///< f32 scales, all 1: products are the integers themselves
};

struct Composition {
  std::string name;
  std::vector<ColumnSetRecord> sets;  ///< kind and quantizer; counts and lists are worked out
  std::vector<ComposedPart> parts;
  SmoothState smooth = SmoothState::none;
  Element low_rank = Element::none;  ///< none, f16 or i8
  int64_t rank = 0;
  bool bias = false;
};

class ComposedFile {
 public:
  explicit ComposedFile(uint32_t seed) : random_(seed) {}

  /// The record of an activation, by the composition's sets and smoothing.
  uint32_t add_input(const Composition& c, int64_t columns) {
    InputRecord input = {};
    input.columns = static_cast<uint64_t>(columns);
    input.smooth_state = c.smooth;
    input.smooth = c.smooth == SmoothState::none ? kNone : floats(columns, 0.3f, 2.0f);
    input.set_count = static_cast<uint8_t>(c.sets.size());
    int64_t left = columns;
    for (size_t i = 0; i < c.sets.size(); i++) {
      ColumnSetRecord& set = input.sets[i] = c.sets[i];
      set.columns = kNone;
      if (set.kind != ColumnKind::list) continue;
      // List i has the columns i, i + 9, i + 18, ...
      std::vector<uint32_t> list;
      for (auto k = static_cast<uint32_t>(i); k < columns; k += 9) list.push_back(k);
      set.count = list.size();
      left -= static_cast<int64_t>(list.size());
      set.columns = vector(Element::u32, list);
    }
    for (size_t i = 0; i < c.sets.size(); i++)
      if (c.sets[i].kind != ColumnKind::list) input.sets[i].count = static_cast<uint64_t>(left);
    directory_.inputs.push_back(input);
    return static_cast<uint32_t>(directory_.inputs.size() - 1);
  }

  /// Tensors come in the order of their names.
  void add_tensor(const std::string& name, const Composition& c, int64_t rows, uint32_t input) {
    const InputRecord& in = directory_.inputs[input];
    TensorRecord t = named(name);
    t.rank = 2;
    t.shape = {static_cast<uint64_t>(rows), in.columns, 0};
    t.input = input;
    t.part_count = static_cast<uint32_t>(c.parts.size());
    for (const ComposedPart& part : c.parts) add_part(part, rows, in.sets[part.set].count);
    if (c.low_rank != Element::none) low_rank(c, t);
    t.bias = c.bias ? floats(rows, -2, 2) : kNone;
    directory_.tensors.push_back(t);
  }

  /// An f32 vector around 1, as norms have them.
  void add_vector(const std::string& name, int64_t columns, uint32_t input = kNone) {
    TensorRecord t = named(name);
    t.rank = 1;
    t.shape = {static_cast<uint64_t>(columns), 0, 0};
    t.input = input;
    t.part_count = 1;
    add_part({real_encoding(Element::f32)}, 1, static_cast<uint64_t>(columns));
    directory_.tensors.push_back(t);
  }

  Result<void> write(const std::filesystem::path& path,
                     const std::string& meta = kSampleMeta) const {
    auto writer = Writer::create(path, directory_, {{SectionKind::meta, meta}}, {});
    if (!writer) return writer.error();
    for (const auto& bytes : bytes_)
      if (auto r = writer->append(bytes); !r) return r;
    return writer->finish();
  }

 private:
  TensorRecord named(const std::string& name) {
    TensorRecord t = empty_tensor();
    t.name_offset = static_cast<uint32_t>(directory_.names.size());
    t.name_size = static_cast<uint16_t>(name.size());
    t.part_first = static_cast<uint32_t>(directory_.parts.size());
    directory_.names += name;
    return t;
  }

  uint32_t component(const ComponentShape& shape, std::vector<std::byte> bytes) {
    const ComponentRecord c = component_record(shape);
    EXPECT_EQ(c.size, bytes.size());
    directory_.components.push_back(c);
    bytes_.push_back(std::move(bytes));
    return static_cast<uint32_t>(bytes_.size() - 1);
  }

  template <typename T>
  uint32_t vector(Element element, const std::vector<T>& values, bool upright = false) {
    const auto bytes = std::as_bytes(std::span(values));
    const uint64_t count = values.size();
    return component({element, Packing::vector, upright ? count : 1, upright ? 1 : count},
                     {bytes.begin(), bytes.end()});
  }

  float real(float low, float high) {
    return std::uniform_real_distribution<float>(low, high)(random_);
  }

  uint32_t floats(int64_t count, float low, float high, bool upright = false) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& v : values) v = real(low, high);
    return vector(Element::f32, values, upright);
  }

  uint32_t matrix(Element element, int64_t rows, int64_t columns) {
    const ComponentShape shape =
        value_shape(element, 1, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns));
    const ValueLayout layout(element, rows, columns);
    std::vector<std::byte> bytes(component_bytes(shape));
    for (int64_t row = 0; row < rows; row++)
      for (int64_t k = 0; k < columns; k++) {
        const float value = real(-1, 1);
        const auto put = [&](auto stored) {
          std::memcpy(bytes.data() + layout.offset(row, k), &stored, sizeof stored);
        };
        if (element == Element::f32) put(value);
        if (element == Element::f16) put(f32_to_f16(value));
        if (element == Element::bf16) put(f32_to_bf16(value));
        if (element == Element::i8) put(static_cast<int8_t>(value * 127.99f));
      }
    return component(shape, std::move(bytes));
  }

  void add_part(const ComposedPart& from, int64_t rows, uint64_t count) {
    PartRecord p = {};
    p.column_set = from.set;
    p.planes.fill(kNone);
    p.scales = p.row_factors = p.zeros = p.column_factors = p.row_sums = kNone;
    const EncodingRecord& e = from.encoding;
    auto& known = directory_.encodings;
    const auto same = std::find_if(known.begin(), known.end(), [&](const EncodingRecord& k) {
      return std::memcmp(&k, &e, sizeof e) == 0;
    });
    p.encoding = static_cast<uint32_t>(same - known.begin());
    if (same == known.end()) known.push_back(e);
    const auto columns = static_cast<int64_t>(count);
    const auto n = static_cast<uint64_t>(rows);
    if (e.grid == Grid::real) {
      p.planes[0] = matrix(e.value_type, rows, columns);
    } else {
      PackedPart part = random_part(e, rows, columns, &random_);
      if (from.unit_scales)
        for (size_t i = 0; i < part.scales.size(); i += 4) {
          const float one = 1;
          std::memcpy(part.scales.data() + i, &one, 4);
        }
      for (size_t i = 0; i < part.planes.size(); i++)
        p.planes[i] = component(plane_shape(e, static_cast<int>(i), 1, n, count), part.planes[i]);
      p.scales = component(scale_shape(e, 1, n, count), part.scales);
      if (e.row_factor) p.row_factors = vector(Element::f32, part.row_factors, true);
      if (e.zero >= ZeroKind::u4) p.zeros = component(zero_shape(e, 1, n, count), part.zeros);
      if (from.row_sums) p.row_sums = component(row_sum_shape(e, 1, n, count), row_sums(part.view));
    }
    if (from.factors) p.column_factors = floats(columns, -1.5f, 1.5f);
    directory_.parts.push_back(p);
  }

  /// Affine codes only.
  static std::vector<std::byte> row_sums(const PartView& view) {
    const Grouping groups = grouping(view.encoding, view.columns);
    std::vector<int32_t> sums(static_cast<size_t>(tiles_of(view.rows) * kTileRows * groups.count));
    std::vector<uint8_t> codes(static_cast<size_t>(kTileRows * view.columns));
    for (int64_t row = 0; row < view.rows; row++) {
      unpack_tile(view, row / kTileRows, codes.data());
      for (int64_t k = 0; k < view.columns; k++) {
        const int64_t g = k / groups.length;
        const int32_t code = codes[static_cast<size_t>(row % kTileRows * view.columns + k)];
        sums[static_cast<size_t>((row / kTileRows * groups.count + g) * kTileRows +
                                 row % kTileRows)] += code - group_parameters(view, row, g).zero;
      }
    }
    const auto bytes = std::as_bytes(std::span(sums));
    return {bytes.begin(), bytes.end()};
  }

  void low_rank(const Composition& c, TensorRecord& t) {
    t.rank_pair = static_cast<uint32_t>(c.rank);
    t.low_rank_a = matrix(c.low_rank, static_cast<int64_t>(t.shape[0]), c.rank);
    t.low_rank_b = matrix(c.low_rank, c.rank, static_cast<int64_t>(t.shape[1]));
    if (c.low_rank != Element::i8) return;
    t.low_rank_a_scales = floats(static_cast<int64_t>(t.shape[0]), 0.001f, 0.01f, true);
    t.low_rank_b_scales = floats(c.rank, 0.001f, 0.01f, true);
  }

  std::mt19937 random_;
  Directory directory_;
  std::vector<std::vector<std::byte>> bytes_;
};

}  // namespace sqf
