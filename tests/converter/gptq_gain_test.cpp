// What GPTQ gains on activations with structure, on tokens it has not seen: 256 columns of 48
// directions and noise, six channels 40 times as loud as the rest.
#include <numeric>

#include "tests/converter/gptq_problem.hpp"

namespace sqf {
namespace {

constexpr int64_t kColumns = 256, kRows = 256, kRank = 48, kCalibration = 4096, kTest = 1024;
constexpr uint32_t kDraws = 3;

struct Fixture {
  std::vector<float> w;
  std::vector<double> calibration, test;  ///< Gram matrices
  std::vector<uint32_t> loudest;          ///< columns, the planted six first
  double energy;                          ///< of the outputs on test tokens

  double error(const Rounded& rounded, const std::vector<uint32_t>& kept) const {
    return output_error(joined(rounded, kColumns, kept), w, test, kColumns) / energy;
  }
  std::vector<uint32_t> outliers(size_t count) const {
    std::vector<uint32_t> kept(loudest.begin(), loudest.begin() + static_cast<int64_t>(count));
    std::ranges::sort(kept);
    return kept;
  }
  GptqInput input(const std::vector<uint32_t>& kept, GptqOrder order) const {
    return input_of(calibration, kColumns, kept, {order, 0.01});
  }
};

Fixture make_fixture(uint32_t draw) {
  std::mt19937 random(draw + 1);
  Fixture f;
  f.w = gaussians(kRows * kColumns, 0.02f, &random);
  const std::vector<float> mix = gaussians(kRank * kColumns, 1, &random);
  std::vector<uint32_t> columns(kColumns);
  std::iota(columns.begin(), columns.end(), 0u);
  std::ranges::shuffle(columns, random);
  columns.resize(6);
  std::vector<float> loudness(kColumns, 1.0f);
  for (const uint32_t column : columns) loudness[column] = 40;
  const auto x = activations(kCalibration, kColumns, kRank, mix, loudness, &random);
  std::vector<float> largest(kColumns);
  for (size_t i = 0; i < x.size(); i++)
    largest[i % kColumns] = std::max(largest[i % kColumns], std::fabs(x[i]));
  f.loudest.resize(kColumns);
  std::iota(f.loudest.begin(), f.loudest.end(), 0u);
  std::ranges::stable_sort(f.loudest,
                           [&](uint32_t a, uint32_t b) { return largest[a] > largest[b]; });
  f.calibration = gram_of(x, kColumns);
  f.test = gram_of(activations(kTest, kColumns, kRank, mix, loudness, &random), kColumns);
  f.energy = output_error(f.w, std::vector<float>(f.w.size()), f.test, kColumns);
  return f;
}

const std::vector<Fixture>& fixtures() {
  static const std::vector<Fixture> all = [] {
    std::vector<Fixture> made;
    for (uint32_t draw = 0; draw < kDraws; draw++) made.push_back(make_fixture(draw));
    return made;
  }();
  return all;
}

struct Errors {
  double rtn = 0, gptq = 0;
};

/// Means over the draws.
Errors errors_of(const EncodingRecord& e, size_t kept_count, GptqOrder order, Range range) {
  Errors mean;
  for (const Fixture& f : fixtures()) {
    const std::vector<uint32_t> kept = f.outliers(kept_count);
    const QuantizeOptions options = {range, nullptr};
    mean.rtn += f.error(plain(e, kRows, f.w, kColumns, kept, options), kept) / kDraws;
    mean.gptq += f.error(gptq(e, kRows, f.w, f.input(kept, order), options), kept) / kDraws;
  }
  return mean;
}

EncodingRecord by_row(int bits) {
  return affine_encoding(bits, 0, Element::f32, false, ZeroKind::constant);
}

TEST(GptqGain, HalvesTheErrorBesideOutliersInFloat) {
  for (const GptqOrder order : {GptqOrder::ascending, GptqOrder::natural}) {
    const Errors unclipped = errors_of(by_row(4), 6, order, Range::minmax);
    EXPECT_LE(unclipped.gptq, 0.5 * unclipped.rtn);
    const Errors searched = errors_of(by_row(4), 6, order, Range::search);
    EXPECT_LE(searched.gptq, 0.5 * searched.rtn);
    EXPECT_LE(searched.gptq, unclipped.gptq);
  }
}

TEST(GptqGain, MoreColumnsInFloatNeverCost) {
  double before = errors_of(by_row(4), 0, GptqOrder::ascending, Range::search).gptq;
  for (const size_t count : {6u, 16u, 32u}) {
    const double error = errors_of(by_row(4), count, GptqOrder::ascending, Range::search).gptq;
    EXPECT_LE(error, before) << count;
    before = error;
  }
}

TEST(GptqGain, GainsInGroupsInEveryOrder) {
  for (const int bits : {3, 4})
    for (const uint32_t group : {32u, 128u})
      for (const GptqOrder order :
           {GptqOrder::natural, GptqOrder::ascending, GptqOrder::descending}) {
        const EncodingRecord e = affine_encoding(bits, group, Element::f16, false, ZeroKind::u8);
        const Errors errors = errors_of(e, 0, order, Range::search);
        // With the loudest columns last there is next to nothing left that could take up their
        // error.
        const double at_most = order == GptqOrder::ascending ? 1 : 0.5;
        EXPECT_LT(errors.gptq, at_most * errors.rtn)
            << describe(e) << " order " << static_cast<int>(order);
      }
}

TEST(GptqGain, KeptColumnsMakeUpForTheOthers) {
  const Fixture& f = fixtures()[0];
  const std::vector<uint32_t> kept = f.outliers(6);
  Rounded rounded = gptq(by_row(4), kRows, f.w, f.input(kept, GptqOrder::ascending), {});
  const double with = f.error(rounded, kept);
  rounded.kept = plain(by_row(4), kRows, f.w, kColumns, kept, {}).kept;
  EXPECT_LT(with, f.error(rounded, kept));
}

}  // namespace
}  // namespace sqf
