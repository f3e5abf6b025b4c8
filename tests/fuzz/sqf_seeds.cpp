// Writes the .sqf files that fuzzing starts from: the sample of the loader's tests, with and
// without compression, and one small file for each kind of encoding.
//
// usage: fuzz_sqf_seeds FOLDER

#include <cstdio>

#include "tests/loader/sample_file.hpp"

namespace sqf {
namespace {

constexpr const char* kModelMeta =
    R"({"format":{"spec":"1.0","writer":"fuzz"},"model":{"architecture":"none"},)"
    R"("quantization":{"method":"rtn"},"source":{"files":[]}})";

struct Named {
  const char* name;
  EncodingRecord encoding;
};

std::vector<Named> encodings() {
  std::vector<Named> all = {
      {"real_f32", real_encoding(Element::f32)},
      {"real_bf16", real_encoding(Element::bf16)},
      {"affine1", affine_encoding(1, 32, Element::bf16, false, ZeroKind::constant)},
      {"affine3", affine_encoding(3, 32, Element::e4m3, true, ZeroKind::minimum_f16)},
      {"affine8", affine_encoding(8, 0, Element::f32, false, ZeroKind::u8)}};
  EncodingRecord ternary = {};
  ternary.grid = Grid::levels;
  ternary.plane_count = 1;
  ternary.radices[0] = 3;
  ternary.scale_type = Element::f16;
  ternary.group = 20;
  ternary.level_count = 3;
  ternary.levels[0] = -1;
  ternary.levels[2] = 1;
  all.push_back({"ternary", ternary});
  EncodingRecord fp4 = {};
  fp4.grid = Grid::minifloat;
  fp4.plane_count = 1;
  fp4.radices[0] = 16;
  fp4.scale_type = Element::e8m0;
  fp4.group = 32;
  fp4.exponent_bits = 2;
  fp4.mantissa_bits = 1;
  fp4.minifloat = MinifloatKind::ocp;
  fp4.exponent_bias = 1;
  all.push_back({"fp4", fp4});
  return all;
}

Directory directory_of(const EncodingRecord& encoding) {
  DirectoryBuilder builder;
  const uint64_t shape[] = {2, 3, 40};
  builder.tensor("w", shape, builder.input(plain_input(40)), encoding, true);
  return builder.finish();
}

/// All bytes zero: every code's first, scales of zero.
Result<void> write_zeros(const std::filesystem::path& path, const Directory& directory) {
  auto writer = Writer::create(path, directory, {{SectionKind::meta, kModelMeta}}, {});
  if (!writer) return writer.error();
  for (const ComponentRecord& c : directory.components)
    if (auto r = writer->append(std::vector<std::byte>(c.size)); !r) return r;
  return writer->finish();
}

int write_all(const std::filesystem::path& folder) {
  std::vector<Result<void>> results;
  results.push_back(write_sample(folder / "sample.sqf"));
  WriterOptions compressed;
  compressed.compress = true;
  results.push_back(write_sample(folder / "compressed.sqf", compressed));
  for (const Named& e : encodings())
    results.push_back(
        write_zeros(folder / (std::string(e.name) + ".sqf"), directory_of(e.encoding)));
  for (const Result<void>& r : results)
    if (!r) {
      std::fprintf(stderr, "%s\n", r.error().message.c_str());
      return 1;
    }
  return 0;
}

}  // namespace
}  // namespace sqf

int main(int argc, char** argv) {
  if (argc == 2) return sqf::write_all(argv[1]);
  std::fprintf(stderr, "usage: fuzz_sqf_seeds FOLDER\n");
  return 2;
}
