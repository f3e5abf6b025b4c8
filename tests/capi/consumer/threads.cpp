// Eight threads read a file at once, and what sqf.hpp adds to sqf.h: threads FILE.sqf.
#include <sqf.hpp>

#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

std::vector<std::vector<float>> read_all(const sqf::File& file) {
  std::vector<std::vector<float>> out;
  for (const sqf_tensor& tensor : file.tensors())
    out.push_back(file.dequantize(tensor, {0, 0, tensor.rows}));
  return out;
}

bool same(const std::vector<std::vector<float>>& a, const std::vector<std::vector<float>>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); i++)
    if (a[i].size() != b[i].size() ||
        std::memcmp(a[i].data(), b[i].data(), a[i].size() * sizeof(float)) != 0)
      return false;
  return true;
}

template <typename Call>
sqf_code code_of(Call call) {
  try {
    call();
  } catch (const sqf::Error& error) {
    return error.code();
  }
  return SQF_OK;
}

}  // namespace

int main(int, char** argv) {
  const char* path = argv[1];
  const auto alone = read_all(sqf::File(path));
  const sqf::File shared(path, sqf::Verify::lazy);
  std::vector<int> good(8);
  std::vector<std::thread> threads;
  for (int& mine : good) threads.emplace_back([&] { mine = same(read_all(shared), alone); });
  for (auto& thread : threads) thread.join();
  for (int one : good)
    if (!one) return std::fprintf(stderr, "a thread read something else\n"), 1;

  sqf::File moved(sqf::File(path, sqf::Verify::full));
  const auto found = moved.find("model.norm.weight");
  const bool right =
      !alone.empty() && found && !moved.find("nothing") && moved.verify().empty() &&
      moved.effective(*found, {0, 0, 1}) == moved.dequantize(*found, {0, 0, 1}) &&
      moved.part(*found, 0).encoding.grid == SQF_GRID_REAL &&
      moved.columns(*found, 0).size() == found->columns &&
      moved.component(*found, 0, SQF_ROLE_PLANE).size > 0 &&
      moved.component(*found, SQF_ROLE_BIAS).data == nullptr &&
      moved.metadata().substr(0, 1) == "{" && moved.section("LICN").empty() &&
      moved.raw_bytes().second == moved.info().file_bytes && moved.input(0).set_count == 1 &&
      code_of([] { sqf::File("/nowhere.sqf"); }) == SQF_ERROR_IO &&
      code_of([&] { moved.tensor(moved.tensor_count()); }) == SQF_ERROR_USAGE &&
      code_of([&] {
        moved.dequantize(*found, {0, 0, UINT64_MAX});
      }) == SQF_ERROR_USAGE &&
      code_of([&] { moved.verify([](auto, auto) { return false; }); }) == SQF_ERROR_INTERRUPTED;
  if (!right) return std::fprintf(stderr, "sqf.hpp does something else\n"), 1;
  try {
    moved.verify([](auto, auto) -> bool { throw std::logic_error("mine"); });
  } catch (const std::logic_error& error) {
    return std::strcmp(error.what(), "mine");
  }
  return 1;
}
