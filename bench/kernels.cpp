// How near the kernels come to the machine: one token against a plain read of as many bytes in the
// same run (memory decides), many tokens in operations per second (the multiplier decides).
//
//   sqf_bench_kernels [--cpu] [megabytes] [filter]
//
// --cpu: one thread, by processor time instead of the clock, for a machine that others use too.
// megabytes: weights per matrix, 128 unless told. filter: only encodings whose name contains it.
//
// Medians of repeated runs; the read and the kernel take turns, since other work on the machine
// moves both. An operation is a multiplication or an addition: 2 per weight and token.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "format/encoding.hpp"
#include "runtime/cpu/matmul.hpp"
#include "runtime/thread_pool.hpp"

namespace sqf {
namespace {

constexpr int64_t kColumns = 2048;
constexpr int kRepeats = 9;

bool use_cpu_time = false;

/// Seconds of the clock, or of the processors this process had: what others run then counts less.
double now() {
  timespec time;
  clock_gettime(use_cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<int64_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

template <typename F>
double timed(F&& f) {
  const double start = now();
  f();
  return now() - start;
}

/// Noise for codes, small ordinary numbers for scales: speed does not depend on the values.
struct Matrix {
  PartView view;
  std::vector<AlignedBuffer> buffers;
  int64_t bytes = 0;

  std::byte* add(int64_t size, uint32_t pattern, uint32_t noise) {
    buffers.emplace_back();
    std::byte* memory = buffers.back().reserve((size + 63) / 64 * 64);
    std::minstd_rand random(static_cast<uint32_t>(bytes + 1));
    for (int64_t i = 0; i + 4 <= size; i += 4) {
      const uint32_t word = pattern | (static_cast<uint32_t>(random()) * 2654435761u & noise);
      std::memcpy(memory + i, &word, 4);
    }
    bytes += size;
    return memory;
  }
};

Matrix make(const EncodingRecord& e, int64_t target_bytes) {
  Matrix m;
  const int64_t row_bytes = kColumns * std::max(code_bits(e), 1) / 8;
  m.view.encoding = e;
  m.view.columns = kColumns;
  m.view.rows = std::max<int64_t>(target_bytes / row_bytes / 64 * 64, 64);
  const auto size = [&](const ComponentShape& shape) {
    return static_cast<int64_t>(component_bytes(shape));
  };
  const auto rows = static_cast<uint64_t>(m.view.rows), columns = static_cast<uint64_t>(kColumns);
  for (int p = 0; p < e.plane_count; p++)
    m.view.planes[static_cast<size_t>(p)] =
        m.add(size(plane_shape(e, p, 1, rows, columns)), 0, 0xffffffffu);
  // 0x2000 is f16 2^-7; any byte is a u8 scale.
  const bool half = e.scale_type == Element::f16;
  m.view.scales = m.add(size(scale_shape(e, 1, rows, columns)), half ? 0x20002000u : 0,
                        half ? 0x00ff00ffu : 0xffffffffu);
  if (e.row_factor)
    m.view.row_factors = reinterpret_cast<const float*>(
        m.add(size(row_factor_shape(1, rows)), 0x3a000000u, 0x0000ffffu));
  if (e.zero == ZeroKind::minimum_f16)
    m.view.zeros = m.add(size(zero_shape(e, 1, rows, columns)), 0xa000a000u, 0x00ff00ffu);
  else if (e.zero != ZeroKind::constant)
    m.view.zeros = m.add(size(zero_shape(e, 1, rows, columns)), 0, 0xffffffffu);
  return m;
}

/// A plain read of `bytes`, by all threads.
class Stream {
 public:
  explicit Stream(int64_t bytes) : words_(bytes / 8) {
    auto* memory = reinterpret_cast<uint64_t*>(buffer_.reserve(words_ * 8));
    for (int64_t i = 0; i < words_; i++) memory[i] = static_cast<uint64_t>(i);
    memory_ = memory;
  }

  double seconds(ThreadPool* pool) {
    return timed([&] {
      pool->run([&](int share, int shares) {
        const int64_t begin = words_ * share / shares / 64 * 64;
        const int64_t end = words_ * (share + 1) / shares / 64 * 64;
        uint64_t sums[16] = {};  // 8 vectors of the baseline
        for (int64_t i = begin; i < end; i += 16) {
          __builtin_prefetch(memory_ + i + 512);
          __builtin_prefetch(memory_ + i + 520);
          for (int64_t k = 0; k < 16; k++) sums[k] += memory_[i + k];
        }
        uint64_t sum = 0;
        for (uint64_t s : sums) sum += s;
        sink_ = sum;
      });
    });
  }

  int64_t bytes() const { return words_ * 8; }

 private:
  int64_t words_;
  AlignedBuffer buffer_;
  const uint64_t* memory_ = nullptr;
  volatile uint64_t sink_ = 0;
};

void product(ThreadPool* pool, Isa isa, const Matrix& m, const QuantizedInput& input,
             std::vector<float>* y) {
  const int64_t tiles = tiles_of(m.view.rows);
  pool->run([&](int share, int shares) {
    matmul(isa, m.view, input, tiles * share / shares, tiles * (share + 1) / shares, y->data(),
           m.view.rows);
  });
}

struct Case {
  const char* name;
  EncodingRecord encoding;
};

std::vector<Case> cases() {
  const auto affine = affine_encoding;
  const Element u8 = Element::u8, f16 = Element::f16;
  return {
      {"4-bit g32 u8*row u4", affine(4, 32, u8, true, ZeroKind::u4)},
      {"4-bit g32 f16 min f16", affine(4, 32, f16, false, ZeroKind::minimum_f16)},
      {"4-bit g32 f16 const", affine(4, 32, f16, false, ZeroKind::constant)},
      {"4-bit g128 f16 u8", affine(4, 128, f16, false, ZeroKind::u8)},
      {"8-bit g32 u8*row u8", affine(8, 32, u8, true, ZeroKind::u8)},
      {"8-bit g32 f16 const", affine(8, 32, f16, false, ZeroKind::constant)},
      {"8-bit row f32 const", affine(8, 0, Element::f32, false, ZeroKind::constant)},
      {"1-bit g32 u8*row u8", affine(1, 32, u8, true, ZeroKind::u8)},
      {"2-bit g32 u8*row u4", affine(2, 32, u8, true, ZeroKind::u4)},
      {"3-bit g32 u8*row u4", affine(3, 32, u8, true, ZeroKind::u4)},
      {"5-bit g32 u8*row u8", affine(5, 32, u8, true, ZeroKind::u8)},
      {"6-bit g32 u8*row u8", affine(6, 32, u8, true, ZeroKind::u8)},
      {"7-bit g32 u8*row u8", affine(7, 32, u8, true, ZeroKind::u8)},
  };
}

void bench_one(const Case& c, int threads, Isa isa, int64_t bytes, Stream* stream) {
  ThreadPool pool(threads);
  const Matrix m = make(c.encoding, bytes);
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> x(static_cast<size_t>(512 * kColumns));
  for (float& v : x) v = normal(random);
  QuantizedInput input;
  std::vector<float> y(static_cast<size_t>(m.view.rows));

  quantize_input(isa, x.data(), 1, kColumns, c.encoding.group, &input);
  std::vector<double> rates, read_rates, shares;
  for (int i = 0; i < kRepeats; i++) {
    read_rates.push_back(static_cast<double>(stream->bytes()) / stream->seconds(&pool) * 1e-9);
    const double seconds = timed([&] { product(&pool, isa, m, input, &y); });
    rates.push_back(static_cast<double>(m.bytes) / seconds * 1e-9);
    shares.push_back(100 * rates.back() / read_rates.back());
  }
  std::printf("%-22s %d  %6.1f %6.1f %4.0f %%  ", c.name, threads, median(rates),
              median(read_rates), median(shares));

  // Prefill of a matrix of ordinary size, whose codes come from the cache or from memory.
  const Matrix layer = make(c.encoding, std::min<int64_t>(bytes, 8 << 20));
  for (const int64_t tokens : {1, 4, 16, 128, 512}) {
    quantize_input(isa, x.data(), tokens, kColumns, c.encoding.group, &input);
    y.resize(static_cast<size_t>(tokens * layer.view.rows));
    std::vector<double> times;
    for (int i = 0; i < kRepeats; i++)
      times.push_back(timed([&] { product(&pool, isa, layer, input, &y); }));
    const double operations = 2.0 * static_cast<double>(layer.view.rows * kColumns * tokens);
    std::printf(" %6.0f", operations / median(times) * 1e-9);
  }
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace
}  // namespace sqf

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "--cpu") {
    sqf::use_cpu_time = true;
    argv++;
    argc--;
  }
  const int64_t megabytes = argc > 1 ? std::max(std::atoi(argv[1]), 1) : 128;
  const std::string filter = argc > 2 ? argv[2] : "";
  const sqf::Isa isa = sqf::best_isa();
  sqf::Stream stream(megabytes << 20);
  std::printf("%s, %lld MiB per matrix, %lld columns\n", sqf::isa_name(isa),
              static_cast<long long>(megabytes), static_cast<long long>(sqf::kColumns));
  std::printf("%-22s T  %6s %6s %6s   %s\n", "encoding", "GB/s", "read", "share",
              "GOP/s of 1, 4, 16, 128, 512 tokens");
  for (const sqf::Case& c : sqf::cases()) {
    if (std::string(c.name).find(filter) == std::string::npos) continue;
    for (const int threads : {1, 2})
      if (threads == 1 || !sqf::use_cpu_time)
        sqf::bench_one(c, threads, isa, megabytes << 20, &stream);
  }
  return 0;
}
