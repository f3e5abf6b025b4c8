// What a real GPU's tensor cores make of registers, as a recording that the emulated instructions
// are tested against (recorded_matrix.hpp): sqf_record_gpu >
// tests/cuda_emulator/recorded/NAME.json. Instructions that the GPU does not have are left out.

#include <cstdio>
#include <random>

#include "cuda/device.hpp"
#include "tests/cuda_emulator/matrix_list.hpp"
#include "tests/cuda_emulator/recorded_matrix.hpp"

namespace sqf {
namespace {

constexpr size_t kSharedWords = 512;

struct NamedKernel {
  const char *kernel, *instruction;
};

#define SQF_NAME_MMA(NAME, SUFFIX, A, B, C) {"record_" #NAME, SUFFIX},
#define SQF_NAME_MATRIX(NAME, SUFFIX, COUNT) {"record_" #NAME, #NAME},
constexpr NamedKernel kMma[] = {SQF_MMA_LIST(SQF_NAME_MMA) SQF_MMA_LIST_FP8(SQF_NAME_MMA)};
constexpr NamedKernel kLoads[] = {SQF_LDMATRIX_LIST(SQF_NAME_MATRIX)};
constexpr NamedKernel kStores[] = {SQF_STMATRIX_LIST(SQF_NAME_MATRIX)};

/// Arrays of words through a kernel, in and out: what they hold afterwards.
class Recorder {
 public:
  explicit Recorder(const Device& device) : device_(device) {}

  Result<std::vector<Registers>> run(const char* kernel, std::vector<Registers> arrays) const {
    auto function = device_.kernel(kernel);
    if (!function) return function.error();
    std::vector<DeviceMemory> memory;
    std::vector<void*> addresses, arguments;
    for (const Registers& words : arrays) {
      auto taken = device_.allocate(words.size() * 4, "registers");
      if (!taken) return taken.error();
      if (auto r = device_.copy_to_device(taken->as(), words.data(), words.size() * 4); !r)
        return r.error();
      addresses.push_back(taken->as());
      memory.push_back(std::move(*taken));
    }
    for (void*& address : addresses) arguments.push_back(&address);
    if (auto r = device_.launch(*function, {1, 1, 32, 0}, arguments); !r) return r.error();
    for (size_t i = 0; i < arrays.size(); i++)
      if (auto r = device_.copy_to_host(arrays[i].data(), memory[i].as(), arrays[i].size() * 4); !r)
        return r.error();
    if (auto r = device_.wait(); !r) return r.error();
    return arrays;
  }

 private:
  const Device& device_;
};

Registers samples_of(const ElementKind& kind, int registers, std::mt19937* random) {
  Registers words(static_cast<size_t>(registers * 32));
  for (uint32_t& word : words)
    for (int at = 0; at < 32; at += kind.bits)
      word |= kind.samples[(*random)() % kind.samples.size()].first << at;
  return words;
}

Registers any_words(size_t count, std::mt19937* random) {
  Registers words(count);
  for (uint32_t& word : words) word = static_cast<uint32_t>((*random)());
  return words;
}

/// Rows of 16 bytes anywhere in shared memory, none twice.
Registers row_offsets(std::mt19937* random) {
  Registers rows(kSharedWords / 4), offsets(32);
  for (size_t i = 0; i < rows.size(); i++) rows[i] = static_cast<uint32_t>(16 * i);
  std::shuffle(rows.begin(), rows.end(), *random);
  std::copy_n(rows.begin(), 32, offsets.begin());
  return offsets;
}

/// Codes that stand for themselves, as the decode kernels have them: f16 too small to be normal.
Registers codes_of(int registers, std::mt19937* random) {
  Registers words(static_cast<size_t>(registers * 32));
  for (uint32_t& word : words) word = static_cast<uint32_t>((*random)()) & 0x00ff00ffu;
  return words;
}

Json record_mma(const Recorder& recorder, std::mt19937* random) {
  Json list = Json::array();
  for (const NamedKernel& named : kMma) {
    const MatrixInstruction& instruction = *find_mma(named.instruction);
    const NamedInstruction kinds = parse_suffix(named.instruction);
    const Registers b = samples_of(*kinds.b, instruction.b, random);
    Registers c(static_cast<size_t>(instruction.c * 32));
    if (kinds.sum == "s32") c = any_words(c.size(), random);
    std::vector<Registers> operands = {samples_of(*kinds.a, instruction.a, random)};
    if (std::string_view(kinds.a->name) == "f16" && kinds.sum == "f32")
      operands.push_back(codes_of(instruction.a, random));
    for (const Registers& a : operands) {
      const auto done = recorder.run(named.kernel, {a, b, c, Registers(c.size())});
      if (!done) continue;
      list.push_back({{"instruction", named.instruction},
                      {"a", words_to_text(a)},
                      {"b", words_to_text(b)},
                      {"c", words_to_text(c)},
                      {"d", words_to_text((*done)[3])}});
    }
  }
  return list;
}

Json record_loads(const Recorder& recorder, std::mt19937* random) {
  Json list = Json::array();
  for (const NamedKernel& named : kLoads) {
    const Registers words = any_words(kSharedWords, random), offsets = row_offsets(random);
    const auto done = recorder.run(named.kernel, {words, offsets, Registers(128)});
    if (!done) continue;
    list.push_back({{"instruction", named.instruction},
                    {"words", words_to_text(words)},
                    {"offsets", words_to_text(offsets)},
                    {"d", words_to_text((*done)[2])}});
  }
  return list;
}

Json record_stores(const Recorder& recorder, std::mt19937* random) {
  Json list = Json::array();
  for (const NamedKernel& named : kStores) {
    const Registers s = any_words(128, random), words = any_words(kSharedWords, random);
    const Registers offsets = row_offsets(random);
    const auto done = recorder.run(named.kernel, {s, offsets, words});
    if (!done) continue;
    list.push_back({{"instruction", named.instruction},
                    {"s", words_to_text(s)},
                    {"offsets", words_to_text(offsets)},
                    {"words", words_to_text(words)},
                    {"after", words_to_text((*done)[2])}});
  }
  return list;
}

int record() {
  const auto device = Device::open();
  if (!device) {
    std::fprintf(stderr, "sqf_record_gpu: %s\n", device.error().message.c_str());
    return static_cast<int>(device.error().code);
  }
  const Recorder recorder(**device);
  std::mt19937 random(1);
  const Json recording = {{"device", (*device)->name()},
                          {"capability", (*device)->capability()},
                          {"mma", record_mma(recorder, &random)},
                          {"ldmatrix", record_loads(recorder, &random)},
                          {"stmatrix", record_stores(recorder, &random)}};
  std::printf("%s\n", recording.dump(1).c_str());
  return recording["mma"].empty() ? 3 : 0;
}

}  // namespace
}  // namespace sqf

int main() {
  return sqf::record();
}
