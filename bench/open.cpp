// What opening costs: a file of 2^20 tensors, and one of 40 GB. Both are sparse: a real head over
// DATA that is one long hole, so that only what opening touches can take time.
//
// usage: sqf_bench_open [FOLDER]        FOLDER holds the two files for a moment (default: /tmp)
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "format/hash.hpp"
#include "format/test_vectors.hpp"
#include "format/writer.hpp"
#include "loader/model_file.hpp"

namespace {

constexpr const char* kMeta =
    R"({"format":{"spec":"1.0","writer":"bench"},"model":{"architecture":"none"},"quantization":{},"source":{}})";

struct Section {
  sqf::SectionKind kind;
  std::string bytes;
};

uint64_t hash(const void* data, size_t size) {
  return sqf::hash_bytes({static_cast<const std::byte*>(data), size});
}

/// Places the components and writes everything but DATA, which stays a hole of zeros.
bool write_sparse(const std::filesystem::path& path, sqf::Directory directory) {
  sqf::Header h = {};
  h.magic = sqf::kMagic;
  h.major = sqf::kMajor;
  h.header_size = sizeof h;
  h.section_table_offset = sizeof h;
  h.section_entry_size = sizeof(sqf::SectionRecord);
  h.comp_align_log2 = 6;
  h.data_align_log2 = 21;
  h.chunk_log2 = 24;
  h.hash_kind = sqf::HashKind::xxh3_64;
  h.tensor_count = static_cast<uint32_t>(directory.tensors.size());
  h.complete = sqf::kComplete;

  uint64_t data_size = 0;
  for (const sqf::ComponentRecord& c : directory.components) data_size += (c.size + 63) / 64 * 64;
  const uint64_t chunk = uint64_t{1} << h.chunk_log2, leaves = (data_size + chunk - 1) / chunk;
  const std::string zeros(chunk, '\0');
  const uint64_t whole = hash(zeros.data(), chunk);
  std::vector<uint64_t> chks(leaves, whole);
  if (data_size % chunk != 0) chks.back() = hash(zeros.data(), data_size % chunk);

  std::vector<Section> sections = {
      {sqf::SectionKind::meta, kMeta},
      {sqf::SectionKind::encv, sqf::make_test_vectors(directory.encodings)},
      {sqf::SectionKind::tdir, std::string(sqf::serialize(directory).size(), '\0')},
      {sqf::SectionKind::chks, {reinterpret_cast<const char*>(chks.data()), leaves * 8}}};
  std::vector<sqf::SectionRecord> table;
  uint64_t end = sqf::kFirstSection;
  for (const Section& s : sections) {
    sqf::SectionRecord r = {};
    r.kind = s.kind;
    r.flags = sqf::is_required(s.kind) ? uint32_t{sqf::section_critical} : 0u;
    r.offset = sqf::section_start(h, s.kind, end);
    r.stored_size = r.raw_size = s.bytes.size();
    end = r.offset + r.stored_size;
    table.push_back(r);
  }
  h.head_size = end;
  sqf::SectionRecord data = {};
  data.kind = sqf::SectionKind::data;
  data.flags = sqf::section_critical;
  data.offset = sqf::section_start(h, data.kind, end);
  uint64_t at = data.offset;
  for (sqf::ComponentRecord& c : directory.components) {
    c.offset = (at + 63) / 64 * 64;
    at = c.offset + c.size;
  }
  data.stored_size = data.raw_size = at - data.offset;
  table.push_back(data);
  const auto tdir = sqf::serialize(directory);
  sections[2].bytes.assign(reinterpret_cast<const char*>(tdir.data()), tdir.size());
  for (size_t i = 0; i < sections.size(); i++)
    table[i].stored_hash = table[i].raw_hash =
        hash(sections[i].bytes.data(), sections[i].bytes.size());
  table.back().stored_hash = table.back().raw_hash = table[3].stored_hash;
  h.file_size = at;
  h.section_count = static_cast<uint32_t>(table.size());
  h.section_table_hash = hash(table.data(), table.size() * sizeof table[0]);
  h.header_hash = hash(&h, sizeof h - 8);

  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  bool good = fd >= 0 && ::ftruncate(fd, static_cast<off_t>(at)) == 0;
  const auto put = [&](const void* bytes, size_t size, uint64_t offset) {
    good =
        good && ::pwrite(fd, bytes, size, static_cast<off_t>(offset)) == static_cast<ssize_t>(size);
  };
  put(&h, sizeof h, 0);
  put(table.data(), table.size() * sizeof table[0], sizeof h);
  for (size_t i = 0; i < sections.size(); i++)
    put(sections[i].bytes.data(), sections[i].bytes.size(), table[i].offset);
  if (fd >= 0) ::close(fd);
  return good;
}

double cpu_ms() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto ms = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_usec) / 1e3;
  };
  return ms(usage.ru_utime) + ms(usage.ru_stime);
}

/// Opens the file eleven times in this process; milliseconds, smallest and median.
int measure(const char* what, const std::filesystem::path& path, sqf::Directory directory) {
  if (!write_sparse(path, std::move(directory))) {
    std::perror(path.c_str());
    return 3;
  }
  std::vector<double> times, cpu;
  for (int i = 0; i < 11; i++) {
    const double cpu_start = cpu_ms();
    const auto start = std::chrono::steady_clock::now();
    const auto file = sqf::ModelFile::open(path);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    if (!file) {
      std::fprintf(stderr, "%s\n", file.error().message.c_str());
      return 1;
    }
    times.push_back(took.count());
    cpu.push_back(cpu_ms() - cpu_start);
  }
  std::sort(times.begin(), times.end());
  std::sort(cpu.begin(), cpu.end());
  std::printf("| %s | %.1f | %.2f | %.2f | %.2f |\n", what,
              static_cast<double>(std::filesystem::file_size(path)) / 1e9, times.front(),
              times[times.size() / 2], cpu[cpu.size() / 2]);
  std::filesystem::remove(path);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::filesystem::path folder = argc > 1 ? argv[1] : "/tmp";
  std::printf(
      "| file | GB | open, ms, least | median | peak memory of the process, MB "
      "|\n|---|---|---|---|---|\n");

  sqf::DirectoryBuilder large;
  const uint64_t matrix[] = {uint64_t{1} << 20, 20480};
  large.tensor("weight", matrix, sqf::kNone, sqf::real_encoding(sqf::Element::f16));
  const int first =
      measure("one tensor of 2^20 x 20480 f16", folder / "sqf-bench-40gb.sqf", large.finish());

  sqf::DirectoryBuilder many;
  const uint64_t vector[] = {32};
  for (int i = 0; i < 1 << 20; i++)
    many.tensor("model.layers." + std::to_string(i) + ".weight", vector, sqf::kNone,
                sqf::real_encoding(sqf::Element::f16));
  const int second =
      measure("2^20 tensors of 32 f16", folder / "sqf-bench-2-20.sqf", many.finish());
  return first != 0 ? first : second;
}
