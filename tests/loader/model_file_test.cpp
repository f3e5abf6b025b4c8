// Whole files: written, opened, damaged. Each byte of a small file is flipped in turn, and the file
// is cut at every length: nothing may pass, nothing may crash.
#include "loader/model_file.hpp"

#include "format/hash.hpp"
#include "format/rules.hpp"
#include "format/validate_head.hpp"
#include "tests/loader/sample_file.hpp"

namespace sqf {
namespace {

/// The rule that a file breaks; 0: none.
uint16_t broken_rule(const std::filesystem::path& path) {
  auto file = ModelFile::open(path);
  if (!file) return file.error().rule;
  const auto findings = file->verify(1);
  return findings.empty() ? 0 : findings[0].rule;
}

TEST(ModelFile, ReadsBackWhatWasWritten) {
  TemporaryFolder folder;
  ASSERT_TRUE(write_sample(folder / "a.sqf"));
  auto file = ModelFile::open(folder / "a.sqf");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_TRUE(file->verify(10).empty());
  EXPECT_EQ(file->tensor_count(), 4u);
  EXPECT_FALSE(file->find("q5"));
  auto tensor = file->find("q4");
  ASSERT_TRUE(tensor);
  EXPECT_EQ(tensor->shape.rows, 32u);
  const PartView part = file->part(*tensor, 0);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(part.planes[0]) % 64, 0u);
  std::vector<float> row(64);
  decode_row(part, 31, row.data());
  const GroupParameters p = group_parameters(part, 31, 1);
  EXPECT_EQ(row[63] / p.scale, static_cast<float>(static_cast<int>(row[63] / p.scale)));
}

TEST(ModelFile, SameInputSameBytes) {
  TemporaryFolder folder;
  ASSERT_TRUE(write_sample(folder / "a.sqf"));
  ASSERT_TRUE(write_sample(folder / "b.sqf"));
  EXPECT_EQ(read_file(folder / "a.sqf"), read_file(folder / "b.sqf"));
}

/// As broken_rule, for a file in memory: the thousands of damaged files of a test need no disk.
uint16_t broken_rule_in(const std::string& file) {
  const auto bytes = std::as_bytes(std::span(file));
  auto head = read_head(bytes);
  if (!head) return head.error().rule;
  const auto found = validate_data(*head, bytes, 1, {});
  return found.empty() ? 0 : found[0].rule;
}

TEST(ModelFile, EveryFlippedByteIsFound) {
  TemporaryFolder folder;
  ASSERT_TRUE(write_sample(folder / "a.sqf"));
  std::string bytes = read_file(folder / "a.sqf");
  ASSERT_EQ(broken_rule_in(bytes), 0);
  ASSERT_LT(bytes.size(), 65536u);
  for (size_t i = 0; i < bytes.size(); i++) {
    bytes[i] = static_cast<char>(bytes[i] ^ (1 << (i % 8)));
    ASSERT_NE(broken_rule_in(bytes), 0) << "byte " << i;
    bytes[i] = static_cast<char>(bytes[i] ^ (1 << (i % 8)));
  }
}

TEST(ModelFile, EveryTruncationIsFound) {
  TemporaryFolder folder;
  ASSERT_TRUE(write_sample(folder / "a.sqf"));
  const std::string bytes = read_file(folder / "a.sqf");
  for (size_t length = 0; length < bytes.size(); length++)
    ASSERT_NE(broken_rule_in(bytes.substr(0, length)), 0) << "length " << length;
  EXPECT_EQ(broken_rule_in(bytes + '\0'), static_cast<uint16_t>(Rule::file_size));
}

TEST(ModelFile, NamesForeignFormats) {
  TemporaryFolder folder;
  const auto message = [&](const std::string& bytes) {
    write_file(folder / "b.sqf", bytes);
    return ModelFile::open(folder / "b.sqf").error().message;
  };
  EXPECT_NE(message("GGUF").find("a GGUF file"), std::string::npos);
  EXPECT_NE(message("version https://git-lfs.github.com/spec/v1\n").find("Git LFS"),
            std::string::npos);
  EXPECT_NE(message(std::string("\x10\0\0\0\0\0\0\0{\"a\":1}", 15)).find("safetensors"),
            std::string::npos);
  EXPECT_NE(message("").find("R101"), std::string::npos);
  EXPECT_NE(ModelFile::open(folder.path()).error().message.find("not a regular file"),
            std::string::npos);
}

/// Changes the bytes of a file, then makes every checksum above the change right again, so that
/// only the rule behind it can object.
std::string resealed(std::string bytes, const std::function<void(std::string&)>& change) {
  change(bytes);
  const auto at = [&](auto& record, size_t offset) {
    std::memcpy(&record, bytes.data() + offset, sizeof record);
  };
  Header h;
  at(h, 0);
  const auto span = [&](size_t offset, size_t size) {
    return std::as_bytes(std::span(bytes)).subspan(offset, size);
  };
  SectionRecord data = {}, chks = {};
  for (uint32_t i = 0; i < std::min(h.section_count, kMaxSections); i++) {
    SectionRecord s;
    at(s, 256 + i * 64);
    if (s.kind == SectionKind::data) data = s;
    if (s.kind == SectionKind::chks) chks = s;
  }
  if (chks.stored_size >= 8 && data.offset < bytes.size()) {
    const uint64_t leaf = hash_bytes(span(data.offset, bytes.size() - data.offset));
    std::memcpy(bytes.data() + chks.offset, &leaf, 8);
  }
  for (uint32_t i = 0; i < std::min(h.section_count, kMaxSections); i++) {
    SectionRecord s;
    at(s, 256 + i * 64);
    const SectionRecord& hashed = s.kind == SectionKind::data ? chks : s;
    if (hashed.offset > bytes.size() || hashed.stored_size > bytes.size() - hashed.offset) continue;
    const uint64_t old = s.stored_hash;
    s.stored_hash = hash_bytes(span(hashed.offset, hashed.stored_size));
    if (s.raw_hash == old) s.raw_hash = s.stored_hash;
    std::memcpy(bytes.data() + 256 + i * 64, &s, sizeof s);
  }
  h.section_table_hash = hash_bytes(span(256, std::min(h.section_count, kMaxSections) * 64));
  std::memcpy(bytes.data(), &h, sizeof h);
  h.header_hash = hash_bytes(span(0, 248));
  std::memcpy(bytes.data(), &h, sizeof h);
  return bytes;
}

class Resealed : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(write_sample(folder_ / "a.sqf"));
    good_ = read_file(folder_ / "a.sqf");
    auto file = ModelFile::open(folder_ / "a.sqf");
    ASSERT_TRUE(file);
    tdir_ = file->head().section(SectionKind::tdir)->offset;
    meta_ = file->head().section(SectionKind::meta)->offset;
    data_ = file->head().data_begin();
    const Directory& d = file->head().directory;
    encodings_ = tdir_ + sizeof(DirectoryHeader);
    inputs_ = encodings_ + d.encodings.size() * sizeof(EncodingRecord);
    tensors_ = inputs_ + d.inputs.size() * sizeof(InputRecord);
    parts_ = tensors_ + d.tensors.size() * sizeof(TensorRecord);
    components_ = parts_ + d.parts.size() * sizeof(PartRecord);
    names_ = components_ + d.components.size() * sizeof(ComponentRecord);
  }
  Rule rule(const std::function<void(std::string&)>& change) {
    write_file(folder_ / "b.sqf", resealed(good_, change));
    return static_cast<Rule>(broken_rule(folder_ / "b.sqf"));
  }
  template <typename T>
  Rule set(size_t offset, T value) {
    return rule([&](std::string& b) { std::memcpy(b.data() + offset, &value, sizeof value); });
  }
  TemporaryFolder folder_;
  std::string good_;
  size_t tdir_ = 0, meta_ = 0, data_ = 0, encodings_ = 0, inputs_ = 0, tensors_ = 0, parts_ = 0,
         components_ = 0, names_ = 0;
};

TEST_F(Resealed, GoodStaysGood) {
  EXPECT_EQ(rule([](std::string&) {}), Rule{0});
}

TEST_F(Resealed, Header) {
  EXPECT_EQ(set(8, uint16_t{2}), Rule::major_version);
  EXPECT_EQ(set(10, uint16_t{9}), Rule{0});  // a newer minor version opens
  EXPECT_EQ(set(12, uint32_t{512}), Rule::header_field);
  EXPECT_EQ(set(16, ~uint64_t{0}), Rule{0});             // compat bits are ignored
  EXPECT_EQ(set(32, uint64_t{1}), Rule::section_flags);  // no section is compressed
  EXPECT_EQ(set(32, uint64_t{2}), Rule::unknown_incompat);
  EXPECT_EQ(set(32, uint64_t{1} << 63), Rule::unknown_incompat);
  EXPECT_EQ(set(40, uint64_t{1} << 63), Rule::file_size);
  EXPECT_EQ(set(48, uint64_t{300}), Rule::header_field);
  EXPECT_EQ(set(56, uint32_t{0}), Rule::section_count);
  EXPECT_EQ(set(56, ~uint32_t{0}), Rule::section_count);
  EXPECT_EQ(set(64, uint8_t{5}), Rule::header_field);
  EXPECT_EQ(set(65, uint8_t{63}), Rule::header_field);
  EXPECT_EQ(set(66, uint8_t{0}), Rule::header_field);
  EXPECT_EQ(set(67, uint8_t{2}), Rule::header_field);
  EXPECT_EQ(set(68, uint32_t{3}), Rule::directory_size);
  EXPECT_EQ(set(80, uint8_t{1}), Rule::header_reserved);
  EXPECT_EQ(set(200, uint8_t{1}), Rule::header_reserved);
  EXPECT_EQ(set(96, uint64_t{1}), Rule::head_size);
}

TEST_F(Resealed, Sections) {
  const size_t first = 256;
  EXPECT_EQ(set(first, fourcc("XXXX")), Rule::section_kind);
  EXPECT_EQ(set(first + 4, uint32_t{4}), Rule::section_flags);
  EXPECT_EQ(set(first + 4, uint32_t{3}), Rule::section_flags);
  EXPECT_EQ(set(first + 8, uint64_t{4160}), Rule::section_place);
  EXPECT_EQ(set(first + 8, ~uint64_t{0} - 10), Rule::section_place);
  EXPECT_EQ(set(first + 16, uint64_t{1} << 62), Rule::section_size);
  EXPECT_EQ(set(first + 24, uint64_t{1}), Rule::section_size);
  EXPECT_EQ(set(first + 48, uint32_t{1}), Rule::section_flags);
  EXPECT_EQ(set(first + 56, uint64_t{1}), Rule::section_flags);
  EXPECT_EQ(set(first + 64, fourcc("META")), Rule::section_kind);
  EXPECT_EQ(set(4095, uint8_t{1}), Rule::head_padding);
  EXPECT_EQ(rule([&](std::string& b) {
              b += std::string(64, '\0');
              const uint64_t n = b.size();
              std::memcpy(b.data() + 40, &n, 8);
            }),
            Rule::file_size);
}

TEST_F(Resealed, Meta) {
  EXPECT_EQ(set(meta_, 'x'), Rule::meta_json);
  EXPECT_EQ(rule([&](std::string& b) { b.replace(meta_ + 2, 6, "formaX"); }), Rule::meta_field);
  EXPECT_EQ(rule([&](std::string& b) { b.replace(b.find("\"test\"", meta_), 6, "123456"); }),
            Rule::meta_field);
  EXPECT_EQ(rule([&](std::string& b) { b.replace(b.find("{}\0", meta_ + 120), 2, "\xff}"); }),
            Rule::text_encoding);
}

TEST_F(Resealed, Directory) {
  EXPECT_EQ(set(tdir_, uint32_t{99}), Rule::directory_size);
  EXPECT_EQ(set(tdir_ + 8, ~uint32_t{0}), Rule::directory_size);
  EXPECT_EQ(set(tdir_ + 24, uint16_t{120}), Rule::directory_size);
  EXPECT_EQ(set(tdir_ + 40, uint16_t{1}), Rule::directory_reserved);
  EXPECT_EQ(set(encodings_, uint8_t{9}), Rule::encoding_record);
  EXPECT_EQ(set(encodings_ + 127, uint8_t{1}), Rule::encoding_record);
  EXPECT_EQ(set(inputs_, uint64_t{65}), Rule::input_record);
  EXPECT_EQ(set(inputs_ + 8, uint32_t{0}), Rule::input_record);
  EXPECT_EQ(set(inputs_ + 13, uint8_t{5}), Rule::input_record);
  EXPECT_EQ(set(inputs_ + 32, uint8_t{0}), Rule::input_record);
  EXPECT_EQ(set(inputs_ + 33, uint8_t{1}), Rule::input_record);  // an integer quantizer of 0 bits
  EXPECT_EQ(set(inputs_ + 70, uint8_t{1}), Rule::directory_reserved);
  EXPECT_EQ(set(names_, '\x07'), Rule::tensor_name);
  EXPECT_EQ(set(names_, 'z'), Rule::tensor_order);
  EXPECT_EQ(set(tensors_ + 4, uint16_t{0}), Rule::tensor_name);
  EXPECT_EQ(set(tensors_ + 6, uint8_t{4}), Rule::tensor_shape);
  EXPECT_EQ(set(tensors_ + 7, uint8_t{1}), Rule::directory_reserved);
  EXPECT_EQ(set(tensors_ + 8, uint64_t{0}), Rule::tensor_shape);
  EXPECT_EQ(set(tensors_ + 8, uint64_t{1} << 46), Rule::tensor_shape);
  EXPECT_EQ(set(tensors_ + 8, uint64_t{33}), Rule::component_shape);
  EXPECT_EQ(set(tensors_ + 32, uint32_t{1}), Rule::tensor_record);
  EXPECT_EQ(set(tensors_ + 36, uint32_t{1}), Rule::tensor_record);
  EXPECT_EQ(set(tensors_ + 40, ~uint32_t{0}), Rule::tensor_record);
  EXPECT_EQ(set(tensors_ + 44, uint32_t{4}), Rule::tensor_record);
  EXPECT_EQ(set(parts_, uint32_t{77}), Rule::part_record);
  EXPECT_EQ(set(parts_ + 4, uint32_t{1}), Rule::part_record);
  EXPECT_EQ(set(parts_ + 8, uint32_t{1000}), Rule::component_index);
  EXPECT_EQ(set(parts_ + 8, uint32_t{1}), Rule::component_shape);
  EXPECT_EQ(set(parts_ + 12, uint32_t{1}), Rule::part_record);
  EXPECT_EQ(set(components_, uint64_t{data_ + 64}), Rule::component_place);
  EXPECT_EQ(set(components_ + 8, uint64_t{64}), Rule::component_shape);
  EXPECT_EQ(set(components_ + 24, uint16_t{9}), Rule::component_shape);
  EXPECT_EQ(set(components_ + 28, uint32_t{1}), Rule::directory_reserved);
}

TEST_F(Resealed, Data) {
  // Without resealing the component's own hash, a changed data byte meets it.
  EXPECT_EQ(set(data_, uint8_t{0xee}), Rule::component_hash);
  EXPECT_EQ(rule([&](std::string& b) {
              // The tensor norm: first component; its hash at byte 16 of its record.
              const float nan = std::numeric_limits<float>::quiet_NaN();
              std::memcpy(b.data() + data_, &nan, 4);
              const uint64_t hash = hash_bytes(std::as_bytes(std::span(b)).subspan(data_, 256));
              std::memcpy(b.data() + components_ + 16, &hash, 8);
            }),
            Rule::real_value);
}

TEST(Writer, KeepsWhatIsThere) {
  TemporaryFolder folder;
  write_file(folder / "a.sqf", "precious");
  auto refused = write_sample(folder / "a.sqf");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::io);
  EXPECT_EQ(read_file(folder / "a.sqf"), "precious");
  ASSERT_TRUE(write_sample(folder / "a.sqf", {.replace = true}));
  EXPECT_EQ(broken_rule(folder / "a.sqf"), 0);
  EXPECT_FALSE(write_sample(folder / "missing/a.sqf"));
}

TEST(Writer, LeavesNothingWhenAbandoned) {
  TemporaryFolder folder;
  {
    auto writer = Writer::create(folder / "a.sqf", sample_directory(),
                                 {{SectionKind::meta, kSampleMeta}}, {});
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->append(std::vector<std::byte>(100)));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Writer, CompressedTextReadsBack) {
  TemporaryFolder folder;
  const std::string licence(5000, 'x');
  auto writer = Writer::create(folder / "a.sqf", sample_directory(),
                               {{SectionKind::meta, kSampleMeta}, {SectionKind::licn, licence}},
                               {.compress = true});
  ASSERT_TRUE(writer);
  std::mt19937 random(7);
  for (const ComponentRecord& c : sample_directory().components)
    ASSERT_TRUE(writer->append(sample_bytes(c, random)));
  ASSERT_TRUE(writer->finish());
  auto file = ModelFile::open(folder / "a.sqf");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_TRUE(file->verify(1).empty());
  const SectionRecord& section = *file->head().section(SectionKind::licn);
  EXPECT_EQ(section.raw_size, licence.size());
  EXPECT_LT(section.stored_size, 100u);
  EXPECT_EQ(file->head().section_text(SectionKind::licn), licence);
  EXPECT_EQ(file->head().header.feature_incompat, kIncompatZstd);
}

TEST(Findings, NameEveryBrokenItemOfAStep) {
  TemporaryFolder folder;
  ASSERT_TRUE(write_sample(folder / "a.sqf"));
  std::string bytes = read_file(folder / "a.sqf");
  const auto head = read_head(std::as_bytes(std::span(bytes)));
  ASSERT_TRUE(head);
  // One byte in each section before DATA: each of them is named, and where it stands.
  size_t sections = 0;
  for (const SectionRecord& s : head->sections)
    if (s.kind != SectionKind::data) bytes[s.offset] ^= 1, sections++;
  Findings findings(100);
  Head unused;
  EXPECT_FALSE(check_head(std::as_bytes(std::span(bytes)), findings, &unused));
  const auto errors = std::move(findings).take();
  ASSERT_EQ(errors.size(), sections);
  for (size_t i = 0; i < sections; i++) {
    EXPECT_EQ(errors[i].rule, static_cast<uint16_t>(Rule::section_hash));
    EXPECT_EQ(errors[i].offset, head->sections[i].offset);
    EXPECT_NE(errors[i].found, errors[i].expected);
  }
}

TEST(Rules, NumbersAscendAndHaveTexts) {
  uint16_t last = 0;
  for (const RuleText& r : rules()) {
    EXPECT_GT(static_cast<uint16_t>(r.rule), last);
    EXPECT_EQ(rule_text(r.rule), r.text);
    last = static_cast<uint16_t>(r.rule);
  }
}

}  // namespace
}  // namespace sqf
