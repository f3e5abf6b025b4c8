// What each method is for, on one matrix and activations with a few loud channels: folds, parts,
// codes and activations as the converter makes them, errors on tokens that it did not see.
#include <numeric>

#include "converter/recipe.hpp"
#include "converter/tensor_job.hpp"
#include "format/activation.hpp"
#include "tests/converter/gptq_problem.hpp"

namespace sqf {
namespace {

using Values = std::vector<float>;

constexpr int64_t kSize = 512, kLoud = 8, kTokens = 512;

/// y [tokens][rows] of x [tokens][columns] and w [rows][columns].
std::vector<double> multiply(const Values& x, const Values& w, int64_t columns) {
  const size_t k = static_cast<size_t>(columns), rows = w.size() / k;
  Values turned(w.size());
  for (size_t row = 0; row < rows; row++)
    for (size_t i = 0; i < k; i++) turned[i * rows + row] = w[row * k + i];
  std::vector<double> y;
  std::vector<double> sums(rows);
  for (size_t token = 0; token < x.size(); token += k) {
    std::ranges::fill(sums, 0.0);
    for (size_t i = 0; i < k; i++) {
      const double value = x[token + i];
      const float* from = turned.data() + i * rows;
      for (size_t row = 0; row < rows; row++) sums[row] += value * static_cast<double>(from[row]);
    }
    y.insert(y.end(), sums.begin(), sums.end());
  }
  return y;
}

double relative_error(const std::vector<double>& y, const std::vector<double>& exact) {
  double off = 0, energy = 0;
  for (size_t i = 0; i < y.size(); i++) {
    off += (y[i] - exact[i]) * (y[i] - exact[i]);
    energy += exact[i] * exact[i];
  }
  return off / energy;
}

InputStatistics statistics_of(const Values& x, int64_t columns) {
  const auto k = static_cast<size_t>(columns);
  InputStatistics s;
  s.abs_max.resize(k);
  s.mean_abs.resize(k);
  s.mean_square.resize(k);
  const double share = static_cast<double>(k) / static_cast<double>(x.size());
  for (size_t i = 0; i < x.size(); i++) {
    s.abs_max[i % k] = std::max(s.abs_max[i % k], std::fabs(x[i]));
    s.mean_abs[i % k] += share * std::fabs(static_cast<double>(x[i]));
    s.mean_square[i % k] += share * static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  return s;
}

/// One matrix that reads the input of down_proj, which has no heads to mind.
struct Fixture {
  int64_t columns = 0;
  Values weights, calibration, test;
  SourceTensor source;
  InputStatistics statistics;
  std::vector<double> exact;

  /// Eight channels of independent ones sixty times as loud as the others.
  static std::unique_ptr<Fixture> independent(unsigned seed) {
    auto f = std::make_unique<Fixture>();
    f->columns = kSize;
    std::mt19937 random(seed);
    f->weights = gaussians(kSize * kSize, 0.02f, &random);
    const Values loudness = loud(kSize, kLoud, 60, &random);
    for (Values* x : {&f->calibration, &f->test}) {
      *x = gaussians(kTokens * kSize, 1, &random);
      for (size_t i = 0; i < x->size(); i++) (*x)[i] *= loudness[i % kSize];
    }
    f->finish();
    return f;
  }

  /// 48 directions and some noise in 256 channels, six of them forty times as loud.
  static std::unique_ptr<Fixture> correlated(unsigned seed) {
    auto f = std::make_unique<Fixture>();
    f->columns = 256;
    std::mt19937 random(seed);
    f->weights = gaussians(256 * 256, 0.02f, &random);
    const Values loudness = loud(256, 6, 40, &random), mix = gaussians(48 * 256, 1, &random);
    f->calibration = activations(4096, 256, 48, mix, loudness, &random);
    f->test = activations(512, 256, 48, mix, loudness, &random);
    f->finish();
    return f;
  }

 private:
  static Values loud(int64_t columns, int64_t count, float loudness, std::mt19937* random) {
    std::vector<size_t> order(static_cast<size_t>(columns));
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::shuffle(order, *random);
    Values out(order.size(), 1.0f);
    for (size_t i = 0; i < static_cast<size_t>(count); i++) out[order[i]] = loudness;
    return out;
  }

  void finish() {
    source.name = "w";
    source.shape = {static_cast<int64_t>(weights.size()) / columns, columns};
    source.bytes = std::as_bytes(std::span(weights));
    statistics = statistics_of(calibration, columns);
    exact = multiply(test, weights, columns);
  }
};

/// The matrix as a plan, in a method's words, with so many outlier columns.
struct Case {
  Case(const Fixture& fixture, const std::string& words, int64_t outliers = 0, bool weighed = false)
      : f(fixture) {
    auto parsed = parse_spec(words, {});
    EXPECT_TRUE(parsed) << parsed.error().message;
    spec = *parsed;
    plan.inputs.resize(4);
    input().layer = 0;
    input().columns = f.columns;
    input().site = &smoothing_sites()[3];
    input().outliers = outliers;
    input().activation = spec.activation;
    TensorPlan t;
    t.spec = {Role::down, 0, "w", f.source.shape[0], f.columns, false, 3};
    t.source = &f.source;
    t.method = spec.method;
    t.range = spec.range;
    t.encoding = spec.encoding();
    t.outliers = outliers;
    t.low_rank.rank = spec.rank;
    t.weigh_low_rank = true;
    if (weighed) t.importance = std::make_shared<const Values>(f.statistics.importance());
    plan.tensors.push_back(t);
    choices.resize(4);
    choose();
  }

  InputPlan& input() { return plan.inputs[3]; }
  InputChoice& choice() { return choices[3]; }

  void choose() { choose_columns(input(), f.statistics, &choice()); }

  Case& smooth(SmoothMethod method, double alpha) {
    input().smooth = SmoothState::apply;
    choice().smooth = smoothing_factors(method, alpha, channel_sizes(plan, f.statistics, 3));
    choose();
    return *this;
  }

  /// The weights of the folded tensor, as decoded.
  Values rounded() {
    const TensorPlan& t = plan.tensors[0];
    const TensorFold fold = fold_of(plan, choices, t);
    TensorChoices given = choices_of(t, fold, choices);
    GptqInput factor;
    if (t.method == Method::gptq) {
      Values x = f.calibration;
      divide(x);
      factor = input_of(
          gram_of(x, f.columns), f.columns, choice().outliers,
          {.order = choice().outliers.empty() ? GptqOrder::descending : GptqOrder::ascending});
      given.gptq = &factor;
    }
    auto encoded = encode_tensor(t, given, 1, nullptr);
    EXPECT_TRUE(encoded) << encoded.error().message;
    Values w(f.weights.size());
    decode_tensor(t, given.outliers, *encoded, w.data());
    return w;
  }

  /// Of the activation, as the runtime has it before its product.
  Values activation(Values x) {
    divide(x);
    if (input().activation.kind == QuantizerKind::none) return x;
    ColumnSetRecord set = set_record(input().activation);
    set.scale = choice().static_scale;
    const auto base = base_columns(f.columns, choice().outliers);
    const size_t tokens = x.size() / static_cast<size_t>(f.columns);
    const size_t share = set.per_tensor ? tokens : 1;
    for (size_t from = 0; from < tokens; from += share) {
      Values own;
      for (size_t t = from; t < from + share; t++)
        for (const uint32_t k : base) own.push_back(x[t * static_cast<size_t>(f.columns) + k]);
      const auto count = static_cast<int64_t>(own.size());
      round_activation(set, scale_of(set, range_of(own.data(), count)), own.data(), count);
      const float* next = own.data();
      for (size_t t = from; t < from + share; t++)
        for (const uint32_t k : base) x[t * static_cast<size_t>(f.columns) + k] = *next++;
    }
    return x;
  }

  double error() {
    return relative_error(multiply(activation(f.test), rounded(), f.columns), f.exact);
  }
  /// On the tokens that choices are made by.
  double calibration_error() {
    return relative_error(multiply(activation(f.calibration), rounded(), f.columns),
                          multiply(f.calibration, f.weights, f.columns));
  }

  const Fixture& f;
  QuantSpec spec;
  Plan plan;
  std::vector<InputChoice> choices;

 private:
  void divide(Values& x) {
    const Values& s = choice().smooth;
    for (size_t i = 0; i < x.size() && !s.empty(); i++) x[i] /= s[i % s.size()];
  }
};

const std::string kInt8 = "bits=8,group=row,scale=f32,factor=none,zero=constant,range=minmax,act=";
const std::string kFour = "group=128,scale=f16,factor=none";
const std::string kQuik = "bits=4,group=row,scale=f32,factor=none,zero=constant,act=";

TEST(Fixture, SmoothQuantTakesWhatLoudChannelsCost) {
  for (const unsigned seed : {1u, 2u}) {
    const auto f = Fixture::independent(seed);
    for (const auto& [act, gain] : {std::pair{"int8", 8.0}, {"int8:tensor", 10.0}}) {
      const double naive = Case(*f, kInt8 + act).error();
      std::vector<double> errors;
      for (const double alpha : {0.25, 0.5, 0.75, 1.0})
        errors.push_back(Case(*f, kInt8 + act).smooth(SmoothMethod::smoothquant, alpha).error());
      EXPECT_LE(errors[1], naive / gain) << act;
      // The best exponent lies between a quarter and three quarters.
      EXPECT_LT(errors[1], errors[0]);
      EXPECT_LT(errors[1], errors[2]);
      EXPECT_GT(errors[3], 3 * errors[1]);
      RecordProperty(std::string(act) + std::to_string(seed), std::to_string(naive / errors[1]));
    }
    // A scale found on other tokens of the same kind costs little.
    const double measured =
        Case(*f, kInt8 + "int8:tensor").smooth(SmoothMethod::smoothquant, 0.5).error();
    const double fixed =
        Case(*f, kInt8 + "int8:static").smooth(SmoothMethod::smoothquant, 0.5).error();
    EXPECT_LT(fixed, 1.3 * measured);
  }
}

TEST(Fixture, FourBitsAreScaledByTheirActivations) {
  const auto f = Fixture::independent(3);
  const double plain = Case(*f, kFour + ",range=minmax").error();
  for (const SmoothMethod method : {SmoothMethod::awq, SmoothMethod::smoothquant_plus}) {
    double least = Case(*f, kFour + ",range=minmax").calibration_error(), best = -1;
    for (int i = 0; i <= 20; i += 2) {
      const double error =
          Case(*f, kFour + ",range=minmax").smooth(method, i / 20.0).calibration_error();
      if (error < least) {
        least = error;
        best = i / 20.0;
      }
    }
    EXPECT_GE(best, 0.2) << smooth_method_name(method);
    EXPECT_LE(best, 0.6) << smooth_method_name(method);
    const double error = Case(*f, kFour + ",range=minmax").smooth(method, best).error();
    EXPECT_LE(error, plain / 3) << smooth_method_name(method);
    RecordProperty(smooth_method_name(method), std::to_string(plain / error));
  }
}

/// What weighs errors is of the activation that the folded weights read.
TEST(Fixture, WeighedRangesGainBesideSmoothing) {
  const auto f = Fixture::independent(4);
  for (const double alpha : {0.3, 0.8}) {
    Case weighed(*f, kFour, 0, true);
    weighed.smooth(SmoothMethod::awq, alpha);
    const double plain = Case(*f, kFour).smooth(SmoothMethod::awq, alpha).error();
    EXPECT_LT(weighed.error(), plain) << alpha;
    // The same as statistics of the smoothed activation would say, in some unit.
    Values smoothed = f->calibration;
    const Values& s = weighed.choice().smooth;
    for (size_t i = 0; i < smoothed.size(); i++) smoothed[i] /= s[i % s.size()];
    const Values want = statistics_of(smoothed, f->columns).importance();
    const Values got = fold_of(weighed.plan, weighed.choices, weighed.plan.tensors[0]).importance;
    ASSERT_EQ(got.size(), want.size());
    for (size_t k = 1; k < got.size(); k++)
      EXPECT_NEAR(got[k] / got[0], want[k] / want[0], 1e-5 * want[k] / want[0]) << k;
  }
}

TEST(Fixture, OutlierColumnsMakeFourBitActivationsPossible) {
  const auto f = Fixture::correlated(5);
  for (const char* round : {"nearest", "gptq"}) {
    const std::string words = kQuik + "int4:asym,round=" + round;
    std::vector<double> errors;
    for (const int64_t outliers : {0, 6, 16, 32})
      errors.push_back(Case(*f, words, outliers).error());
    EXPECT_LE(errors[1], errors[0] / 50) << round;
    EXPECT_LE(errors[2], errors[1]) << round;
    EXPECT_LE(errors[3], errors[2]) << round;
  }
  const std::string weights_only = kQuik + "none";
  const double nearest = Case(*f, weights_only, 6).error();
  const double gptq = Case(*f, weights_only + ",round=gptq", 6).error();
  EXPECT_LE(gptq, 0.5 * nearest);
  const double minmax = Case(*f, weights_only + ",round=gptq,range=minmax", 6).error();
  EXPECT_LE(gptq, minmax);
  EXPECT_LE(Case(*f, kQuik + "int8:asym,round=gptq", 6).error(), 1.03 * gptq);
  RecordProperty("gptq", std::to_string(gptq / nearest));
}

/// The planted channels are what is found, ascending.
TEST(Fixture, OutliersAreTheLoudChannels) {
  const auto f = Fixture::correlated(6);
  Case c(*f, kQuik + "int4:asym", 6);
  ASSERT_EQ(c.choice().outliers.size(), 6u);
  EXPECT_TRUE(std::ranges::is_sorted(c.choice().outliers));
  EXPECT_EQ(c.choice().static_scale, 0);
  // A static scale is that of the columns that it is for.
  Case fixed(*f, kInt8 + "int8:static", 6);
  EXPECT_EQ(fixed.choice().outliers, c.choice().outliers);
  float rest = 0;
  for (const uint32_t k : base_columns(f->columns, c.choice().outliers))
    rest = std::max(rest, f->statistics.abs_max[k]);
  EXPECT_EQ(fixed.choice().static_scale, rest / 127);
  for (const uint32_t k : c.choice().outliers) EXPECT_GT(f->statistics.abs_max[k], 20);
  // Smoothed away, they are loud no more, and others may be.
  c.smooth(SmoothMethod::smoothquant, 1);
  for (int64_t k = 0; k < f->columns; k++) {
    const auto at = static_cast<size_t>(k);
    EXPECT_NEAR(f->statistics.abs_max[at] / c.choice().smooth[at], 1, 1e-6);
  }
  // What remains is all alike up to rounding: none of the choices can be far off.
  EXPECT_EQ(c.choice().outliers.size(), 6u);
}

TEST(Fixture, SmoothingHelpsOutliersAndGptq) {
  const auto f = Fixture::correlated(7);
  // Too few outlier columns for all loud channels: smoothing takes the rest.
  const std::string words = kQuik + "int4:asym";
  const double alone = Case(*f, words, 3).error();
  const double smoothed = Case(*f, words, 3).smooth(SmoothMethod::smoothquant, 0.5).error();
  EXPECT_LT(smoothed, alone / 2);
  const std::string eight = kInt8 + "int8:asym";
  EXPECT_LT(Case(*f, eight, 3).smooth(SmoothMethod::smoothquant, 0.5).error(),
            Case(*f, eight, 3).error() / 4);
  // GPTQ under each, in smoothed coordinates.
  for (const auto& [method, base] : {std::pair{SmoothMethod::smoothquant, kInt8 + "none"},
                                     {SmoothMethod::awq, kFour},
                                     {SmoothMethod::smoothquant_plus, kFour}}) {
    const double nearest = Case(*f, base).smooth(method, 0.4).error();
    const double gptq = Case(*f, base + ",round=gptq").smooth(method, 0.4).error();
    EXPECT_LT(gptq, 0.6 * nearest) << smooth_method_name(method);
  }
}

TEST(Fixture, LowRankPairs) {
  const auto f = Fixture::independent(8);
  // Weighed by the activations, a pair of rank 8 undoes what eight loud channels cost.
  const std::string words = kFour + ",range=minmax";
  const double base = Case(*f, words).error();
  const double plain = Case(*f, words + ",lorc=8").error();
  const double weighed = Case(*f, words + ",lorc=8", 0, true).error();
  EXPECT_LT(plain, base);
  EXPECT_LE(weighed, 0.05 * base);
  // Over smoothing, weights are of the smoothed activation, and less is left to gain.
  const double awq = Case(*f, words, 0, true).smooth(SmoothMethod::awq, 0.3).error();
  const double both = Case(*f, words + ",lorc=8", 0, true).smooth(SmoothMethod::awq, 0.3).error();
  EXPECT_LT(both, 0.8 * awq);
  // Beside outlier columns the pair works on what is left, of all columns.
  const double quik = Case(*f, kQuik + "none", 8, true).error();
  const double quik_pair = Case(*f, kQuik + "none,lorc=8", 8, true).error();
  EXPECT_LT(quik_pair, quik);
  // Two bits lose more, and a pair more of it.
  const std::string two = "bits=2,group=row,scale=f32,factor=none";
  EXPECT_LT(Case(*f, two + ",lorc=8", 0, true).error(), 0.8 * Case(*f, two, 0, true).error());
}

}  // namespace
}  // namespace sqf
