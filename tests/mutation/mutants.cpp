// Runs the corpus through the validator once for each check that mutate.py made switchable, and
// names the checks whose absence no file shows. A process of its own for each: a validator
// without a bounds check may well crash or hang, which shows it too.
//
// usage: validator_mutants MUTANTS.txt FOLDER...      folders of .sqf files; exit code 1: survivors
//        validator_mutants - FOLDER...                once, with every check in place (coverage.py)
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "format/hash.hpp"
#include "format/validate.hpp"
#include "format/validate_head.hpp"
#include "model/check_model.hpp"

int sqf_mutant = 0;  ///< the check that never fires; 0: none

namespace {

struct Mutant {
  int number;
  std::string where, what;
};

/// Conditions that decide the wording of a message, or only save work; with the reason.
constexpr const char* kExempt[][2] = {
    {"starts_with(file", "says what a foreign file is: ModelFile.NamesForeignFormats"},
    {"file[8] == std::byte{'{'}", "says what a foreign file is: ModelFile.NamesForeignFormats"},
    {"!go_on(", "stops a pass that has found enough"},
    {"!header.has_magic", "a zstd built without its old formats refuses what lacks the magic, too"},
};

using Rules = std::vector<uint16_t>;

Rules broken_rules(const std::vector<char>& file) {
  const auto bytes = std::as_bytes(std::span(file));
  sqf::Findings findings(20);
  sqf::Head head;
  Rules rules;
  const bool opened = check_head(bytes, findings, &head);
  if (opened) check_model(head, findings);
  for (const sqf::Error& e : std::move(findings).take()) rules.push_back(e.rule);
  rules.push_back(opened);
  if (opened)
    for (const sqf::Error& e : sqf::validate_data(head, bytes, 20, {})) rules.push_back(e.rule);
  return rules;
}

/// Zero bytes that take no memory until they are touched.
class Zeros {
 public:
  explicit Zeros(size_t size)
      : size_(size),
        bytes_(
            static_cast<std::byte*>(::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {}
  Zeros(const Zeros&) = delete;
  Zeros& operator=(const Zeros&) = delete;
  ~Zeros() { ::munmap(bytes_, size_); }
  std::byte* data() { return bytes_; }
  std::span<const std::byte> view() const { return {bytes_, size_}; }

 private:
  size_t size_;
  std::byte* bytes_;
};

/// A directory with one record of a kind more than the limit allows: too large for a corpus.
uint16_t directory_rule(uint32_t sqf::DirectoryHeader::*count, uint32_t limit, size_t record) {
  sqf::DirectoryHeader h = {};
  h.encoding_size = sizeof(sqf::EncodingRecord);
  h.input_size = sizeof(sqf::InputRecord);
  h.tensor_size = sizeof(sqf::TensorRecord);
  h.part_size = sizeof(sqf::PartRecord);
  h.component_size = sizeof(sqf::ComponentRecord);
  h.*count = limit + 1;
  Zeros section(sizeof h + (size_t{limit} + 1) * record);
  std::memcpy(section.data(), &h, sizeof h);
  const auto directory = sqf::parse_directory(section.view());
  return directory ? 0 : directory.error().rule;
}

/// A file whose sections before DATA fill more than 1 GiB, each below its own limit.
Rules huge_head_rules() {
  constexpr uint64_t kSize = uint64_t{1300} << 20;
  Zeros file(kSize);
  sqf::Header h = {};
  h.magic = sqf::kMagic;
  h.major = sqf::kMajor;
  h.header_size = sizeof h;
  h.section_table_offset = sizeof h;
  h.section_entry_size = sizeof(sqf::SectionRecord);
  h.comp_align_log2 = 6;
  h.data_align_log2 = 12;
  h.chunk_log2 = 16;
  h.hash_kind = sqf::HashKind::xxh3_64;
  h.complete = sqf::kComplete;
  h.file_size = kSize;
  uint64_t end = sqf::kFirstSection;
  std::vector<sqf::SectionRecord> table;
  const auto add = [&](sqf::SectionKind kind, uint64_t size) {
    sqf::SectionRecord r = {};
    r.kind = kind;
    r.flags = sqf::is_required(kind) ? uint32_t{sqf::section_critical} : 0u;
    r.offset = sqf::section_start(h, kind, end);
    r.stored_size = r.raw_size = size;
    end = r.offset + size;
    table.push_back(r);
  };
  add(sqf::SectionKind::meta, 2);
  add(sqf::SectionKind::tdir, uint64_t{600} << 20);
  add(sqf::SectionKind::encv, uint64_t{600} << 20);
  add(sqf::SectionKind::chks, 8);
  h.head_size = end;
  add(sqf::SectionKind::data, kSize - sqf::section_start(h, sqf::SectionKind::data, end));
  h.section_count = static_cast<uint32_t>(table.size());
  std::memcpy(file.data() + sizeof h, table.data(), table.size() * sizeof table[0]);
  h.section_table_hash =
      sqf::hash_bytes(file.view().subspan(sizeof h, table.size() * sizeof table[0]));
  std::memcpy(file.data(), &h, sizeof h);
  h.header_hash = sqf::hash_bytes(file.view().first(sizeof h - 8));
  std::memcpy(file.data(), &h, sizeof h);
  sqf::Findings findings(1);
  sqf::Head head;
  check_head(file.view(), findings, &head);
  return {findings.empty() ? uint16_t{0} : findings.first().rule};
}

/// What no file of a corpus can be large enough to show.
Rules oversize_rules() {
  Rules rules = huge_head_rules();
  rules.push_back(directory_rule(&sqf::DirectoryHeader::encoding_count, sqf::kMaxEncodings,
                                 sizeof(sqf::EncodingRecord)));
  rules.push_back(directory_rule(&sqf::DirectoryHeader::tensor_count, sqf::kMaxTensors,
                                 sizeof(sqf::TensorRecord)));
  rules.push_back(directory_rule(&sqf::DirectoryHeader::component_count, sqf::kMaxComponents,
                                 sizeof(sqf::ComponentRecord)));
  return rules;
}

std::vector<std::vector<char>> read_folders(int count, char** folders) {
  std::vector<std::vector<char>> files;
  for (int i = 0; i < count; i++)
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folders[i]))
      if (entry.path().extension() == ".sqf") {
        std::ifstream in(entry.path(), std::ios::binary);
        files.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
      }
  return files;
}

std::vector<Mutant> read_mutants(const char* path) {
  std::vector<Mutant> mutants;
  std::ifstream in(path);
  for (std::string number, where, what;
       std::getline(in, number, '\t') && std::getline(in, where, '\t') && std::getline(in, what);)
    mutants.push_back({std::atoi(number.c_str()), where, what});
  return mutants;
}

bool is_exempt(const Mutant& mutant) {
  return std::any_of(std::begin(kExempt), std::end(kExempt), [&](const auto& exempt) {
    return mutant.what.find(exempt[0]) != std::string::npos;
  });
}

bool survives(int number, const std::vector<std::vector<char>>& files,
              const std::vector<Rules>& expected, const Rules& oversize) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(60);
    sqf_mutant = number;
    for (size_t i = 0; i < files.size(); i++)
      if (broken_rules(files[i]) != expected[i]) ::_exit(1);
    ::_exit(oversize_rules() == oversize ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: validator_mutants MUTANTS.txt FOLDER...\n");
    return 2;
  }
  const auto mutants = read_mutants(argv[1]);
  const auto files = read_folders(argc - 2, argv + 2);
  std::vector<Rules> expected;
  for (const auto& file : files) expected.push_back(broken_rules(file));
  const Rules oversize = oversize_rules();
  if (oversize != Rules{206, 401, 401, 401}) {
    std::fprintf(stderr, "a limit is not held\n");
    return 1;
  }
  if (std::strcmp(argv[1], "-") == 0) {
    std::printf("%zu files\n", files.size());
    return files.empty() ? 1 : 0;
  }
  int killed = 0, exempt = 0, survivors = 0;
  for (const Mutant& m : mutants) {
    if (is_exempt(m)) {
      exempt++;
    } else if (survives(m.number, files, expected, oversize)) {
      std::printf("not shown by any file: %s: %s\n", m.where.c_str(), m.what.c_str());
      survivors++;
    } else {
      killed++;
    }
  }
  std::printf("%zu files; of %zu checks %d are shown missing, %d survive, %d only word messages\n",
              files.size(), mutants.size(), killed, survivors, exempt);
  return survivors == 0 && killed > 0 && !files.empty() ? 0 : 1;
}
