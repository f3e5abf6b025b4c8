// The C interface from inside: every record it mirrors, every argument it must refuse.
#include "tests/loader/c_interface.hpp"

namespace sqf {
namespace {

TEST_F(CInterface, TellsWhatTheFileHolds) {
  Handle h(path_, SQF_VERIFY_FULL);
  ASSERT_EQ(h.code, SQF_OK) << h.error.message;
  EXPECT_EQ(h.error.code, 0u);
  sqf_info info;
  ASSERT_EQ(sqf_get_info(h.file, &info, nullptr), SQF_OK);
  EXPECT_EQ(info.file_bytes, std::filesystem::file_size(path_));
  EXPECT_EQ(info.data_offset, data_offset());
  EXPECT_EQ(info.chunk_bytes, 1u << 20);
  EXPECT_EQ(info.input_count, 1u);
  ASSERT_EQ(sqf_tensor_count(h.file), 1u);

  sqf_tensor t;
  ASSERT_EQ(sqf_find_tensor(h.file, "w", &t, nullptr), SQF_OK);
  EXPECT_STREQ(t.name, "w");
  EXPECT_EQ(t.rank, 3u);
  EXPECT_EQ(t.shape[0], 3u);
  EXPECT_EQ(t.shape[1], kRows);
  EXPECT_EQ(t.shape[2], kColumns);
  EXPECT_EQ(t.experts, 3u);
  EXPECT_EQ(t.rows, kRows);
  EXPECT_EQ(t.columns, kColumns);
  EXPECT_EQ(t.part_count, 2u);
  EXPECT_EQ(t.input, 0u);
  EXPECT_EQ(t.low_rank, 3u);
  EXPECT_EQ(t.has_bias, 1u);
  // f16 part: 32 rows of 4 words, 7 factors. 4-bit part: 32 rows of 96 columns, scales, zeros, row
  // and column factors. Low-rank: 32 rows of a word and 16 of 25 with f32 scales. Bias.
  const uint64_t list = 3 * 32 * 4 * 4 + 7 * 4;
  const uint64_t rest = 3 * 32 * (48 + 3) + 3 * 32 * 3 / 2 + 3 * 32 * 4 + 93 * 4;
  const uint64_t low_rank = 3 * (32 * 4 + kRows * 4) + 3 * (16 * 25 * 4 + 3 * 4);
  EXPECT_EQ(t.stored_bytes, list + rest + low_rank + 3 * kRows * 4);
  EXPECT_DOUBLE_EQ(t.bits_per_weight, 8.0 * static_cast<double>(t.stored_bytes) / (3 * 21 * 100));
}

TEST_F(CInterface, MirrorsPartsAndInputs) {
  Handle h(path_, SQF_VERIFY_LAZY);
  sqf_part part;
  ASSERT_EQ(sqf_get_part(h.file, 0, 1, &part, nullptr), SQF_OK);
  EXPECT_EQ(part.encoding_index, 1u);
  EXPECT_EQ(part.encoding.grid, SQF_GRID_AFFINE);
  EXPECT_EQ(part.encoding.zero, SQF_ZERO_U4);
  EXPECT_EQ(part.encoding.scale_type, SQF_ELEMENT_U8);
  EXPECT_EQ(part.encoding.radices[0], 16u);
  EXPECT_EQ(part.encoding.group, 32u);
  EXPECT_EQ(part.encoding.row_factor, 1u);
  EXPECT_EQ(part.set_index, 1u);
  EXPECT_EQ(part.set.kind, SQF_COLUMNS_REST);
  EXPECT_EQ(part.set.quantizer, SQF_QUANTIZER_INTEGER);
  EXPECT_EQ(part.set.bits, 4u);
  EXPECT_EQ(part.set.asymmetric, 1u);
  EXPECT_EQ(part.set.list, nullptr);
  std::vector<uint64_t> columns(part.set.count);
  ASSERT_EQ(sqf_part_columns(h.file, 0, 1, columns.data(), nullptr), SQF_OK);
  EXPECT_TRUE(std::equal(columns.begin(), columns.end(), made_.rest().begin()));

  sqf_input input;
  ASSERT_EQ(sqf_get_input(h.file, 0, &input, nullptr), SQF_OK);
  EXPECT_EQ(input.columns, kColumns);
  EXPECT_EQ(input.smooth_state, SQF_SMOOTH_APPLY);
  EXPECT_TRUE(std::equal(made_.smooth().begin(), made_.smooth().end(), input.smooth));
  ASSERT_EQ(input.set_count, 2u);
  EXPECT_EQ(input.sets[0].kind, SQF_COLUMNS_LIST);
  ASSERT_EQ(input.sets[0].count, made_.list().size());
  EXPECT_TRUE(std::equal(made_.list().begin(), made_.list().end(), input.sets[0].list));
}

TEST_F(CInterface, HandsOutComponentsByRole) {
  Handle h(path_, SQF_VERIFY_LAZY);
  const auto model = ModelFile::open(path_);
  ASSERT_TRUE(model);
  const Directory& d = model->head().directory;
  const TensorRecord& t = d.tensors[0];
  const PartRecord& p = d.parts[1];
  const struct {
    int role;
    uint32_t component;
    bool shared;
  } cases[] = {{SQF_ROLE_PLANE, p.planes[0], false},
               {SQF_ROLE_PLANE + 1, kNone, false},
               {SQF_ROLE_PLANE + 7, kNone, false},
               {SQF_ROLE_SCALES, p.scales, false},
               {SQF_ROLE_ROW_FACTORS, p.row_factors, false},
               {SQF_ROLE_ZEROS, p.zeros, false},
               {SQF_ROLE_COLUMN_FACTORS, p.column_factors, true},
               {SQF_ROLE_ROW_SUMS, kNone, false},
               {SQF_ROLE_BIAS, t.bias, false},
               {SQF_ROLE_LOW_RANK_A, t.low_rank_a, false},
               {SQF_ROLE_LOW_RANK_B, t.low_rank_b, false},
               {SQF_ROLE_LOW_RANK_A_SCALES, t.low_rank_a_scales, false},
               {SQF_ROLE_LOW_RANK_B_SCALES, t.low_rank_b_scales, false}};
  for (const auto& c : cases) {
    sqf_component got;
    const bool of_part = c.role < SQF_ROLE_BIAS;
    ASSERT_EQ(of_part ? sqf_part_component(h.file, 0, 1, c.role, &got, nullptr)
                      : sqf_tensor_component(h.file, 0, c.role, &got, nullptr),
              SQF_OK)
        << c.role;
    if (c.component == kNone) {
      EXPECT_EQ(got.data, nullptr) << c.role;
      EXPECT_EQ(got.size, 0u) << c.role;
      continue;
    }
    const ComponentRecord& record = d.components[c.component];
    const auto bytes = model->component(c.component);
    ASSERT_EQ(got.size, bytes.size()) << c.role;
    EXPECT_EQ(std::memcmp(got.data, bytes.data(), bytes.size()), 0) << c.role;
    EXPECT_EQ(got.expert_bytes, c.shared ? 0 : bytes.size() / 3) << c.role;
    EXPECT_EQ(got.offset, record.offset);
    EXPECT_EQ(got.hash, record.hash);
    EXPECT_EQ(got.element, static_cast<uint32_t>(record.element));
    EXPECT_EQ(got.packing, static_cast<uint32_t>(record.packing));
    EXPECT_EQ(got.rows, record.rows);
    EXPECT_EQ(got.cols, record.cols);
  }
}

TEST_F(CInterface, SectionsAndRawBytes) {
  Handle h(path_, SQF_VERIFY_HEAD);
  const void* data = nullptr;
  size_t size = 0;
  ASSERT_EQ(sqf_get_section(h.file, "META", &data, &size, nullptr), SQF_OK);
  EXPECT_EQ(std::string_view(static_cast<const char*>(data), size), kSampleMeta);
  ASSERT_EQ(sqf_get_section(h.file, "TOKN", &data, &size, nullptr), SQF_OK);
  EXPECT_EQ(data, nullptr);
  EXPECT_EQ(size, 0u);
  for (const char* kind : {"", "MET", "METAL", "DATA"})
    EXPECT_EQ(sqf_get_section(h.file, kind, &data, &size, nullptr), SQF_ERROR_USAGE) << kind;
  uint64_t bytes = 0;
  ASSERT_EQ(sqf_raw_bytes(h.file, &data, &bytes, nullptr), SQF_OK);
  EXPECT_EQ(std::string_view(static_cast<const char*>(data), bytes), read_file(path_));
}

TEST_F(CInterface, RefusesBadArguments) {
  Handle h(path_, SQF_VERIFY_HEAD);
  const sqf_file* f = h.file;
  const sqf_file* null = nullptr;
  sqf_error e;
  sqf_info info;
  sqf_tensor t;
  sqf_part p;
  sqf_input in;
  sqf_component c;
  const void* data = nullptr;
  size_t size = 0;
  uint64_t wide = 0;
  std::vector<float> out(kColumns * kRows);
  std::vector<uint64_t> columns(kColumns);
  sqf_file* opened = nullptr;
  const sqf_code codes[] = {sqf_open(nullptr, 0, &opened, &e),
                            sqf_open(path_.c_str(), 0, nullptr, &e),
                            sqf_open(path_.c_str(), -1, &opened, &e),
                            sqf_open(path_.c_str(), 3, &opened, &e),
                            sqf_get_info(null, &info, &e),
                            sqf_get_info(f, nullptr, &e),
                            sqf_get_tensor(null, 0, &t, &e),
                            sqf_get_tensor(f, 1, &t, &e),
                            sqf_get_tensor(f, SQF_NONE, &t, &e),
                            sqf_get_tensor(f, 0, nullptr, &e),
                            sqf_find_tensor(null, "w", &t, &e),
                            sqf_find_tensor(f, nullptr, &t, &e),
                            sqf_find_tensor(f, "w", nullptr, &e),
                            sqf_find_tensor(f, "v", &t, &e),
                            sqf_find_tensor(f, "", &t, &e),
                            sqf_get_part(null, 0, 0, &p, &e),
                            sqf_get_part(f, 1, 0, &p, &e),
                            sqf_get_part(f, 0, 2, &p, &e),
                            sqf_get_part(f, 0, 0, nullptr, &e),
                            sqf_get_input(null, 0, &in, &e),
                            sqf_get_input(f, 1, &in, &e),
                            sqf_get_input(f, SQF_NONE, &in, &e),
                            sqf_get_input(f, 0, nullptr, &e),
                            sqf_part_columns(null, 0, 0, columns.data(), &e),
                            sqf_part_columns(f, 0, 2, columns.data(), &e),
                            sqf_part_columns(f, 0, 0, nullptr, &e),
                            sqf_part_component(null, 0, 0, 0, &c, &e),
                            sqf_part_component(f, 0, 0, -1, &c, &e),
                            sqf_part_component(f, 0, 0, 13, &c, &e),
                            sqf_part_component(f, 0, 0, SQF_ROLE_BIAS, &c, &e),
                            sqf_part_component(f, 0, 0, 0, nullptr, &e),
                            sqf_tensor_component(null, 0, 32, &c, &e),
                            sqf_tensor_component(f, 0, 0, &c, &e),
                            sqf_tensor_component(f, 0, 37, &c, &e),
                            sqf_tensor_component(f, 7, 32, &c, &e),
                            sqf_tensor_component(f, 0, 32, nullptr, &e),
                            sqf_get_section(null, "META", &data, &size, &e),
                            sqf_get_section(f, nullptr, &data, &size, &e),
                            sqf_get_section(f, "META", nullptr, &size, &e),
                            sqf_get_section(f, "META", &data, nullptr, &e),
                            sqf_raw_bytes(null, &data, &wide, &e),
                            sqf_raw_bytes(f, nullptr, &wide, &e),
                            sqf_raw_bytes(f, &data, nullptr, &e),
                            sqf_dequantize(null, 0, 0, 0, 1, out.data(), &e),
                            sqf_dequantize(f, 1, 0, 0, 1, out.data(), &e),
                            sqf_dequantize(f, 0, 3, 0, 1, out.data(), &e),
                            sqf_dequantize(f, 0, 0, 0, kRows + 1, out.data(), &e),
                            sqf_dequantize(f, 0, 0, 1, UINT64_MAX, out.data(), &e),
                            sqf_dequantize(f, 0, 0, 0, 1, nullptr, &e),
                            sqf_effective(null, 0, 0, 0, 1, out.data(), &e),
                            sqf_effective(f, 0, 0, kRows, 1, out.data(), &e),
                            sqf_verify(null, nullptr, nullptr, nullptr, &e)};
  for (size_t i = 0; i < std::size(codes); i++) EXPECT_EQ(codes[i], SQF_ERROR_USAGE) << i;
  EXPECT_EQ(e.code, static_cast<uint32_t>(SQF_ERROR_USAGE));
  EXPECT_STREQ(e.message, "argument file is null");
  EXPECT_EQ(opened, nullptr);
  EXPECT_EQ(sqf_get_tensor(f, 1, &t, nullptr), SQF_ERROR_USAGE);  // nowhere to say why
  EXPECT_EQ(sqf_tensor_count(nullptr), 0u);
  sqf_close(nullptr);
}

TEST_F(CInterface, ErrorsSayWhatTheyKnow) {
  sqf_file* file = nullptr;
  sqf_error e;
  EXPECT_EQ(sqf_open((folder_ / "missing").c_str(), 0, &file, &e), SQF_ERROR_IO);
  EXPECT_NE(std::string(e.message).find("missing"), std::string::npos);
  write_file(folder_ / "garbage", "GGUF" + std::string(1000, 'x'));
  EXPECT_EQ(sqf_open((folder_ / "garbage").c_str(), 0, &file, &e), SQF_ERROR_MALFORMED);
  EXPECT_EQ(e.rule, 102u);
  EXPECT_STREQ(sqf_rule_text(e.rule), "a file starts with the magic of SQF");
  EXPECT_STREQ(sqf_rule_text(999), "");
  EXPECT_EQ(e.known, uint32_t{SQF_KNOWN_OFFSET});
  EXPECT_EQ(e.offset, 0u);
  EXPECT_STREQ(e.tensor, "");
  // A changed byte of a section: where the section starts, and both hashes, are told.
  const uint64_t chks = ModelFile::open(path_)->head().section(SectionKind::chks)->offset;
  EXPECT_EQ(sqf_open(damaged(chks).c_str(), 0, &file, &e), SQF_ERROR_MALFORMED);
  EXPECT_EQ(e.rule, 208u);
  EXPECT_EQ(e.known, uint32_t{SQF_KNOWN_OFFSET | SQF_KNOWN_VALUES});
  EXPECT_EQ(e.offset, chks);
  EXPECT_EQ(std::string(e.expected).size(), 18u);
  EXPECT_STRNE(e.expected, e.found);
  EXPECT_EQ(sqf_open(folder_.path().c_str(), 0, &file, &e), SQF_ERROR_IO);

  // A long message is cut between code points: each of these is two bytes.
  std::string name;
  for (int i = 0; i < 300; i++) name += "é";
  EXPECT_EQ(sqf_open(name.c_str(), 0, &file, &e), SQF_ERROR_IO);
  EXPECT_EQ(std::string(e.message), name.substr(0, 510));

  Handle h(path_, SQF_VERIFY_HEAD);
  sqf_part part;
  EXPECT_EQ(sqf_get_part(h.file, 0, 9, &part, &e), SQF_ERROR_USAGE);
  EXPECT_EQ(e.known, static_cast<uint32_t>(SQF_KNOWN_TENSOR));
  EXPECT_STREQ(e.tensor, "w");
  EXPECT_EQ(sqf_get_part(h.file, 0, 0, &part, &e), SQF_OK);
  EXPECT_EQ(e.code, 0u);
  EXPECT_STREQ(e.tensor, "");
  EXPECT_STREQ(e.message, "");
}

}  // namespace
}  // namespace sqf
