// Sealing again must make a good file of a changed one, or fuzzing would only ever see checksums.
#include "tests/fuzz/reseal.hpp"

#include <gtest/gtest.h>

#include "format/head.hpp"
#include "format/validate.hpp"
#include "tests/loader/sample_file.hpp"

namespace sqf {
namespace {

using Bytes = std::vector<std::byte>;

Bytes sample(bool compress = false) {
  const TemporaryFolder folder;
  WriterOptions options;
  options.compress = compress;
  EXPECT_TRUE(write_sample(folder / "s.sqf", options));
  const std::string text = read_file(folder / "s.sqf");
  const auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}

/// The first broken rule, 0 where there is none.
int first_rule(const Bytes& file) {
  const auto head = read_head(file);
  if (!head) return head.error().rule;
  const auto errors = validate_data(*head, file, 1, {});
  return errors.empty() ? 0 : errors.front().rule;
}

TEST(Reseal, LeavesAGoodFileAsItIs) {
  for (const bool compress : {false, true}) {
    const Bytes file = sample(compress);
    Bytes sealed = file;
    reseal(sealed);
    EXPECT_EQ(sealed, file);
    EXPECT_EQ(put_together(*take_apart(file)).size(), file.size());
  }
}

TEST(Reseal, MakesAChangedFileGood) {
  Bytes file = sample();
  file[sizeof(Header) + 40] ^= std::byte{1};  // a hash in the section table
  const size_t data = take_apart(file)->find(SectionKind::data)->record.offset;
  file[data] ^= std::byte{1};  // a weight
  EXPECT_NE(first_rule(file), 0);
  reseal(file);
  EXPECT_EQ(first_rule(file), 0);
}

TEST(Reseal, LaysOutAgain) {
  auto pieces = take_apart(sample());
  ASSERT_TRUE(pieces);
  Piece* meta = pieces->find(SectionKind::meta);
  ASSERT_NE(meta, nullptr);
  meta->bytes.insert(meta->bytes.end(), 9000, std::byte{' '});
  Bytes file = put_together(*pieces);
  reseal(file);
  EXPECT_EQ(first_rule(file), 0);
}

TEST(Reseal, GivesComponentsTheShapeTheyNeed) {
  auto pieces = take_apart(sample());
  ASSERT_TRUE(pieces);
  auto directory = find_directory(*pieces->find(SectionKind::tdir));
  ASSERT_TRUE(directory);
  for (EncodingRecord& e : directory->encodings)
    if (e.grid == Grid::real) e = real_encoding(Element::bf16);
  directory->tensors[0].shape[0] = 16;
  ASSERT_TRUE(relayout(*pieces, *directory, 1 << 20));
  Bytes file = put_together(*pieces);
  reseal(file);
  const auto head = read_head(file);
  EXPECT_TRUE(head) << head.error().message;
}

TEST(Reseal, TakesAnything) {
  const Bytes good = sample();
  for (size_t at = 0; at < 1500; at++) {
    Bytes file = good;
    file[at] = ~file[at];
    reseal(file);
    reseal(std::span(file).first(at));
    if (auto pieces = take_apart(file)) {
      Bytes again = put_together(*std::move(pieces));
      reseal(again);
    }
  }
}

}  // namespace
}  // namespace sqf
