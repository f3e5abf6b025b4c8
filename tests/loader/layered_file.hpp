#pragma once
// A file with one tensor "w" that uses everything a tensor can: two column parts (a list of f16
// columns and the rest in 4 bits), column factors, a low-rank pair, a bias, experts, a smoothing
// vector. What it means is computed here from the numbers that went in, never from the file.

#include <random>
#include <string>
#include <vector>

#include "format/part.hpp"
#include "format/scalar.hpp"
#include "tests/loader/sample_file.hpp"

namespace sqf {

struct LayeredOptions {
  Element low_rank = Element::none;  ///< none, f16 or i8
  SmoothState smooth = SmoothState::none;
  bool column_factors = true;
  uint64_t experts = 1;  ///< more than one: the tensor has rank 3
};

class LayeredFile {
 public:
  // A whole tile and a part of one; groups of 32, 32 and 29 columns; lists with neighbours and
  // ends.
  static constexpr size_t rows = 21, columns = 100, rank = 3, groups = 3;

  explicit LayeredFile(const LayeredOptions& options) : options_(options) {
    list_ = {0, 7, 8, 40, 41, 77, 99};
    for (uint32_t c = 0, i = 0; c < columns; c++) {
      if (i < list_.size() && list_[i] == c)
        i++;
      else
        rest_.push_back(c);
    }
    fill();
    lay_out();
  }

  void write(const std::filesystem::path& path) const {
    auto writer = Writer::create(path, directory_, {{SectionKind::meta, kSampleMeta}}, {});
    ASSERT_TRUE(writer) << writer.error().message;
    for (const auto& bytes : bytes_) ASSERT_TRUE(writer->append(bytes));
    ASSERT_TRUE(writer->finish());
  }

  const LayeredOptions& options() const { return options_; }
  const std::vector<uint32_t>& list() const { return list_; }
  const std::vector<uint32_t>& rest() const { return rest_; }
  const std::vector<float>& bias() const { return bias_; }
  const std::vector<float>& smooth() const { return smooth_; }

  /// One weight, by the equation in the specification.
  float weight(size_t expert, size_t row, size_t column) const {
    const size_t r = expert * rows + row;
    float out = 0;
    const auto listed = std::find(list_.begin(), list_.end(), column);
    if (listed != list_.end()) {
      const auto j = static_cast<size_t>(listed - list_.begin());
      float v = f16_to_f32(halves_[r * list_.size() + j]);
      if (options_.column_factors) v = v * list_factors_[j];
      out = out + v;
    } else {
      const auto j =
          static_cast<size_t>(std::find(rest_.begin(), rest_.end(), column) - rest_.begin());
      const size_t g = r * groups + j / 32;
      const float scale = static_cast<float>(scales_[g]) * row_factors_[r];
      float v = scale * static_cast<float>(codes_[r * rest_.size() + j] - zeros_[g]);
      if (options_.column_factors) v = v * rest_factors_[j];
      out = out + v;
    }
    if (options_.low_rank == Element::none) return out;
    float acc = 0;
    for (size_t k = 0; k < rank; k++) {
      const float product = a(r, k) * b(expert * rank + k, column);
      acc = acc + product;
    }
    return out + acc;
  }

 private:
  float a(size_t row, size_t k) const {
    if (options_.low_rank == Element::f16) return f16_to_f32(a_half_[row * rank + k]);
    return static_cast<float>(a_code_[row * rank + k]) * a_scale_[row];
  }
  float b(size_t row, size_t column) const {
    if (options_.low_rank == Element::f16) return f16_to_f32(b_half_[row * columns + column]);
    return static_cast<float>(b_code_[row * columns + column]) * b_scale_[row];
  }

  template <typename T, typename Draw>
  static void draw(std::vector<T>& out, size_t count, Draw one) {
    out.resize(count);
    for (T& value : out) value = static_cast<T>(one());
  }

  void fill() {
    const size_t n = options_.experts * rows;
    std::mt19937 random(11);
    const auto below = [&](int limit) { return static_cast<int>(random() % unsigned(limit)); };
    const auto real = [&] { return static_cast<float>(below(20001) - 10000) / 7919.0f; };
    const auto half = [&] { return f32_to_f16(real()); };
    const auto positive = [&] { return 0.25f + static_cast<float>(below(1000)) / 999.0f; };
    const auto small_code = [&] { return below(255) - 127; };
    draw(halves_, n * list_.size(), half);
    halves_[0] = 0x8000;  // -0, which added to 0 is 0
    draw(codes_, n * rest_.size(), [&] { return below(16); });
    draw(scales_, n * groups, [&] { return below(256); });
    draw(zeros_, n * groups, [&] { return below(16); });
    draw(row_factors_, n, positive);
    draw(list_factors_, list_.size(), positive);
    draw(rest_factors_, rest_.size(), real);
    draw(a_half_, n * rank, half);
    draw(b_half_, options_.experts * rank * columns, half);
    draw(a_code_, n * rank, small_code);
    draw(b_code_, options_.experts * rank * columns, small_code);
    draw(a_scale_, n, positive);
    draw(b_scale_, options_.experts * rank, real);
    draw(bias_, n, real);
    draw(smooth_, columns, positive);
  }

  uint32_t component(const ComponentShape& shape, std::vector<std::byte> bytes) {
    const ComponentRecord c = component_record(shape);
    EXPECT_EQ(c.size, bytes.size());
    directory_.components.push_back(c);
    bytes_.push_back(std::move(bytes));
    return static_cast<uint32_t>(bytes_.size() - 1);
  }

  template <typename T>
  uint32_t vector(Element element, size_t rows_stored, size_t cols, const std::vector<T>& values) {
    const auto bytes = std::as_bytes(std::span(values));
    return component({element, Packing::vector, rows_stored, cols}, {bytes.begin(), bytes.end()});
  }

  template <typename T>
  uint32_t matrices(Element element, size_t cols, const std::vector<T>& values) {
    const size_t count = values.size() / cols / options_.experts;  // rows of one
    const ComponentShape shape = value_shape(element, options_.experts, count, cols);
    const ValueLayout layout(element, static_cast<int64_t>(count), static_cast<int64_t>(cols));
    std::vector<std::byte> bytes(component_bytes(shape));
    for (size_t i = 0; i < values.size(); i++) {
      const size_t row = i / cols, expert = row / count;
      const auto at = static_cast<size_t>(
          layout.offset(static_cast<int64_t>(row % count), static_cast<int64_t>(i % cols)));
      std::memcpy(bytes.data() + bytes.size() / options_.experts * expert + at, &values[i],
                  sizeof(T));
    }
    return component(shape, std::move(bytes));
  }

  /// Per expert: calls put(padded row, source row) for the rows that there are.
  template <typename Put>
  void each_padded_row(Put put) const {
    for (size_t e = 0; e < options_.experts; e++)
      for (size_t row = 0; row < rows; row++) put(e * 32 + row, e * rows + row);
  }

  PartRecord part(uint32_t encoding, uint32_t set) const {
    PartRecord p = {};
    p.encoding = encoding;
    p.column_set = set;
    p.planes.fill(kNone);
    p.scales = p.row_factors = p.zeros = p.column_factors = p.row_sums = kNone;
    return p;
  }

  PartRecord list_part() {
    PartRecord p = part(0, 0);
    p.planes[0] = matrices(Element::f16, list_.size(), halves_);
    if (options_.column_factors)
      p.column_factors = vector(Element::f32, 1, list_.size(), list_factors_);
    return p;
  }

  PartRecord rest_part(const EncodingRecord& e) {
    PartRecord p = part(1, 1);
    const auto k = static_cast<int64_t>(rest_.size());
    const ComponentShape shape = plane_shape(e, 0, options_.experts, rows, rest_.size());
    std::vector<std::byte> plane(component_bytes(shape));
    std::vector<uint8_t> lanes(rest_.size() * 16);
    for (size_t tile = 0; tile < options_.experts * 2; tile++) {
      for (size_t i = 0; i < lanes.size(); i++) {
        const size_t row = tile % 2 * 16 + i % 16;
        lanes[i] = row < rows ? codes_[(tile / 2 * rows + row) * rest_.size() + i / 16] : 0;
      }
      pack_lanes(e, k, static_cast<int64_t>(tile), lanes.data(), {plane.data()});
    }
    p.planes[0] = component(shape, std::move(plane));
    std::vector<std::byte> scales(options_.experts * 32 * groups), zeros(scales.size() / 2);
    std::vector<float> factors(options_.experts * 32);
    each_padded_row([&](size_t to, size_t from) {
      for (size_t g = 0; g < groups; g++) {
        const size_t tile = to / 16 * groups + g;
        scales[tile * 16 + to % 16] = static_cast<std::byte>(scales_[from * groups + g]);
        zeros[tile * 8 + to % 8] |=
            static_cast<std::byte>(zeros_[from * groups + g] << (to % 16 < 8 ? 0 : 4));
      }
      factors[to] = row_factors_[from];
    });
    p.scales = component(scale_shape(e, options_.experts, rows, rest_.size()), std::move(scales));
    p.row_factors = vector(Element::f32, options_.experts * 32, 1, factors);
    p.zeros = component(zero_shape(e, options_.experts, rows, rest_.size()), std::move(zeros));
    if (options_.column_factors)
      p.column_factors = vector(Element::f32, 1, rest_.size(), rest_factors_);
    return p;
  }

  void lay_out() {
    Directory& d = directory_;
    d.names = "w";
    d.encodings = {real_encoding(Element::f16),
                   affine_encoding(4, 32, Element::u8, true, ZeroKind::u4)};
    InputRecord input = {};
    input.columns = columns;
    input.smooth_state = options_.smooth;
    input.smooth =
        options_.smooth == SmoothState::none ? kNone : vector(Element::f32, 1, columns, smooth_);
    input.set_count = 2;
    input.sets[0].kind = ColumnKind::list;
    input.sets[0].count = list_.size();
    input.sets[0].columns = vector(Element::u32, 1, list_.size(), list_);
    input.sets[1].kind = ColumnKind::rest;
    input.sets[1].quantizer = QuantizerKind::integer;
    input.sets[1].bits = 4;
    input.sets[1].asymmetric = 1;
    input.sets[1].count = rest_.size();
    input.sets[1].columns = kNone;
    d.inputs = {input};
    d.parts = {list_part(), rest_part(d.encodings[1])};
    TensorRecord t = {};
    t.name_size = 1;
    t.rank = options_.experts > 1 ? 3 : 2;
    t.shape = {rows, columns, 0};
    if (options_.experts > 1) t.shape = {options_.experts, rows, columns};
    t.part_count = 2;
    t.low_rank_a = t.low_rank_b = t.low_rank_a_scales = t.low_rank_b_scales = kNone;
    if (options_.low_rank != Element::none) low_rank(t);
    t.bias = vector(Element::f32, options_.experts, rows, bias_);
    d.tensors = {t};
  }

  void low_rank(TensorRecord& t) {
    t.rank_pair = rank;
    if (options_.low_rank == Element::f16) {
      t.low_rank_a = matrices(Element::f16, rank, a_half_);
      t.low_rank_b = matrices(Element::f16, columns, b_half_);
      return;
    }
    t.low_rank_a = matrices(Element::i8, rank, a_code_);
    t.low_rank_b = matrices(Element::i8, columns, b_code_);
    t.low_rank_a_scales = vector(Element::f32, a_scale_.size(), 1, a_scale_);
    t.low_rank_b_scales = vector(Element::f32, b_scale_.size(), 1, b_scale_);
  }

  LayeredOptions options_;
  std::vector<uint32_t> list_, rest_;
  std::vector<uint16_t> halves_, a_half_, b_half_;
  std::vector<uint8_t> codes_, scales_, zeros_;
  std::vector<int8_t> a_code_, b_code_;
  std::vector<float> row_factors_, list_factors_, rest_factors_, a_scale_, b_scale_, bias_, smooth_;
  Directory directory_;
  std::vector<std::vector<std::byte>> bytes_;
};

}  // namespace sqf
