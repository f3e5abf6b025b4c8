// What a tensor means as numbers: bit for bit against a computation from the numbers that went
// into the file.
#include "loader/dequantize.hpp"

#include "format/rules.hpp"
#include "tests/loader/layered_file.hpp"

namespace sqf {
namespace {

struct Opened {
  TemporaryFolder folder;
  LayeredFile made;
  ModelFile file;

  explicit Opened(const LayeredOptions& options) : made(options) {
    made.write(folder / "a.sqf");
    auto opened = ModelFile::open(folder / "a.sqf");
    EXPECT_TRUE(opened) << opened.error().message;
    file = std::move(*opened);
  }
  TensorView tensor() const { return file.tensor(0); }
};

using Decode = Result<void>(const ModelFile&, const TensorView&, const RowRange&, float*);

/// Rows of one call, with a canary behind them.
std::vector<float> rows_of(Decode& decode, const Opened& o, const RowRange& r) {
  std::vector<float> out(r.count * LayeredFile::columns + 1, 123.0f);
  const auto ok = decode(o.file, o.tensor(), r, out.data());
  EXPECT_TRUE(ok) << ok.error().message;
  EXPECT_EQ(out.back(), 123.0f);
  out.pop_back();
  return out;
}

bool same_bits(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

void expect_weights(const Opened& o, const RowRange& r) {
  const auto plain = rows_of(dequantize, o, r), divided = rows_of(effective, o, r);
  for (size_t row = 0; row < r.count; row++) {
    for (size_t c = 0; c < LayeredFile::columns; c++) {
      const float expected = o.made.weight(r.expert, r.begin + row, c);
      const size_t at = row * LayeredFile::columns + c;
      ASSERT_TRUE(same_bits(plain[at], expected))
          << "expert " << r.expert << " row " << r.begin + row << " column " << c << ": "
          << plain[at] << ", expected " << expected;
      const bool apply = o.made.options().smooth == SmoothState::apply;
      ASSERT_TRUE(same_bits(divided[at], apply ? expected / o.made.smooth()[c] : expected)) << at;
    }
  }
}

TEST(Dequantize, EveryCombinationToTheBit) {
  for (Element low_rank : {Element::none, Element::f16, Element::i8})
    for (SmoothState smooth : {SmoothState::none, SmoothState::folded, SmoothState::apply})
      for (bool factors : {false, true})
        for (uint64_t experts : {1, 3}) {
          const Opened o({low_rank, smooth, factors, experts});
          EXPECT_TRUE(o.file.verify(1).empty()) << o.file.verify(1)[0].message;
          for (uint64_t e = 0; e < experts; e++) expect_weights(o, {e, 0, LayeredFile::rows});
        }
}

TEST(Dequantize, AnyRangeOfRows) {
  const Opened o({Element::i8, SmoothState::apply, true, 3});
  for (uint64_t begin = 0; begin <= LayeredFile::rows; begin++)
    for (uint64_t count = 0; begin + count <= LayeredFile::rows; count++)
      expect_weights(o, {1, begin, count});
}

TEST(Dequantize, NegativeZeroBecomesZero) {
  const Opened o({Element::none, SmoothState::none, false, 1});
  const auto row = rows_of(dequantize, o, {0, 0, 1});
  EXPECT_TRUE(same_bits(row[o.made.list()[0]], 0.0f));
}

TEST(Dequantize, OnePartOfEachSampleTensor) {
  TemporaryFolder folder;
  ASSERT_TRUE(write_sample(folder / "a.sqf"));
  auto file = ModelFile::open(folder / "a.sqf");
  ASSERT_TRUE(file);
  for (size_t i = 0; i < file->tensor_count(); i++) {
    const TensorView t = file->tensor(i);
    std::vector<float> all(t.shape.rows * t.shape.columns), row(t.shape.columns);
    ASSERT_TRUE(dequantize(*file, t, {0, 0, t.shape.rows}, all.data()));
    for (uint64_t r = 0; r < t.shape.rows; r++) {
      decode_row(file->part(t, 0), static_cast<int64_t>(r), row.data());
      for (size_t c = 0; c < row.size(); c++)
        ASSERT_EQ(all[r * row.size() + c], row[c]) << t.name << " row " << r << " column " << c;
    }
  }
}

TEST(Dequantize, RefusesWhatIsNotThere) {
  const Opened o({Element::f16, SmoothState::none, true, 3});
  std::vector<float> out(LayeredFile::rows * LayeredFile::columns, 5.0f);
  constexpr uint64_t kMany = std::numeric_limits<uint64_t>::max();
  for (const RowRange& r :
       {RowRange{3, 0, 1}, RowRange{kMany, 0, 1}, RowRange{0, 0, LayeredFile::rows + 1},
        RowRange{0, LayeredFile::rows, 1}, RowRange{0, LayeredFile::rows + 1, 0},
        RowRange{0, 1, kMany}, RowRange{0, kMany, 2}}) {
    const auto refused = dequantize(o.file, o.tensor(), r, out.data());
    ASSERT_FALSE(refused) << r.expert << " " << r.begin << " " << r.count;
    EXPECT_EQ(refused.error().code, Code::usage);
  }
  EXPECT_TRUE(dequantize(o.file, o.tensor(), {2, LayeredFile::rows, 0}, nullptr));
  for (float value : out) ASSERT_EQ(value, 5.0f);
}

/// A file in which one entry of the column list says something else.
uint16_t rule_with_list_entry(size_t entry, uint32_t column) {
  TemporaryFolder folder;
  const LayeredFile made({});
  made.write(folder / "a.sqf");
  std::string bytes = read_file(folder / "a.sqf");
  {
    auto file = ModelFile::open(folder / "a.sqf");
    EXPECT_TRUE(file);
    const Directory& d = file->head().directory;
    const uint64_t at = d.components[d.inputs[0].sets[0].columns].offset + entry * 4;
    std::memcpy(bytes.data() + at, &column, 4);
  }
  write_file(folder / "b.sqf", bytes);
  auto file = ModelFile::open(folder / "b.sqf");
  EXPECT_TRUE(file);
  std::vector<float> out(LayeredFile::rows * LayeredFile::columns);
  const auto result = dequantize(*file, file->tensor(0), {0, 0, LayeredFile::rows}, out.data());
  return result ? 0 : result.error().rule;
}

TEST(Dequantize, RefusesListsThatLeadOutside) {
  const auto list = static_cast<uint16_t>(Rule::column_list);
  EXPECT_EQ(rule_with_list_entry(0, 0), 0);
  EXPECT_EQ(rule_with_list_entry(0, 5), 0);       // ascending still
  EXPECT_EQ(rule_with_list_entry(6, 100), list);  // behind the last column
  EXPECT_EQ(rule_with_list_entry(6, 0xffffffff), list);
  EXPECT_EQ(rule_with_list_entry(1, 0), list);  // twice
  EXPECT_EQ(rule_with_list_entry(3, 7), list);  // descending
}

/// Columns of the part over the rest, where two lists take two columns each of eight.
Result<std::vector<uint64_t>> rest_of(const std::vector<uint32_t>& first,
                                      const std::vector<uint32_t>& second) {
  Directory d;
  InputRecord input = {};
  input.columns = 8;
  input.smooth = kNone;
  input.set_count = 3;
  for (uint32_t i = 0; i < 2; i++) {
    input.sets[i] = {ColumnKind::list, QuantizerKind::none, 0, 0, 0, 0, 0, 0, 2, i, 0, 0, 0};
    d.components.push_back({0, 8, 0, Element::u32, Packing::vector, 0, 1, 2, {}});
  }
  input.sets[2] = {ColumnKind::rest, QuantizerKind::none, 0, 0, 0, 0, 0, 0, 4, kNone, 0, 0, 0};
  d.inputs = {input};
  d.encodings = {real_encoding(Element::f32)};
  for (uint32_t set = 0; set < 3; set++) {
    d.components.push_back(
        component_record({Element::f32, Packing::vector, 1, input.sets[set].count}));
    PartRecord part = empty_part();
    part.column_set = set;
    part.planes[0] = 2 + set;
    d.parts.push_back(part);
  }
  TensorRecord t = empty_tensor();
  t.input = 0;
  t.name_size = 1;
  t.rank = 2;
  t.shape = {1, 8, 0};
  t.part_count = 3;
  d.tensors = {t};
  d.names = "t";

  TemporaryFolder folder;
  auto writer = Writer::create(folder / "a.sqf", d, {{SectionKind::meta, kSampleMeta}}, {});
  if (!writer) return writer.error();
  for (const auto& list : {first, second})
    if (auto r = writer->append(std::as_bytes(std::span(list))); !r) return r.error();
  for (const ColumnSetRecord& set : std::span(input.sets).first(3))
    if (auto r = writer->append(std::vector<std::byte>(set.count * 4)); !r) return r.error();
  if (auto r = writer->finish(); !r) return r.error();
  const auto file = ModelFile::open(folder / "a.sqf");
  if (!file) return file.error();
  std::vector<float> out(8);
  if (auto r = dequantize(*file, file->tensor(0), {0, 0, 1}, out.data()); !r) return r.error();
  return columns_of(*file, *file->tensor(0).record, file->head().directory.parts[2]);
}

TEST(Dequantize, TheRestIsWhatNoListNames) {
  const auto good = rest_of({1, 6}, {0, 3});
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_EQ(*good, (std::vector<uint64_t>{2, 4, 5, 7}));
  const auto shared = rest_of({1, 6}, {1, 3});
  ASSERT_FALSE(shared);
  EXPECT_EQ(shared.error().rule, static_cast<uint16_t>(Rule::column_list));
}

}  // namespace
}  // namespace sqf
