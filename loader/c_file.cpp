// The C interface, first part: files as a whole.

#include <cstring>
#include <memory>

#include "format/rules.hpp"
#include "loader/c_boundary.hpp"

namespace sqf {
namespace {

static_assert(SQF_VERSION == SQF_PROJECT_VERSION, "include/sqf.h and CMakeLists.txt differ");

constexpr size_t kMaxFindings = 1000;

std::string terminated_names(const Directory& d) {
  std::string names;
  names.reserve(d.names.size() + d.tensors.size());
  for (const TensorRecord& t : d.tensors) (names += d.name(t)) += '\0';
  return names;
}

Result<std::unique_ptr<sqf_file>> open_file(const char* path, int verify) {
  if (path == nullptr) return null_argument("path");
  if (verify < SQF_VERIFY_HEAD || verify > SQF_VERIFY_FULL)
    return usage_error("no verify mode " + std::to_string(verify));
  auto model = ModelFile::open(path);
  if (!model) return model.error();
  if (verify == SQF_VERIFY_FULL)
    if (auto findings = model->verify(1); !findings.empty()) {
      findings[0].message = std::string(path) + ": " + findings[0].message;
      return findings[0];
    }
  if (verify == SQF_VERIFY_LAZY) model->verify_on_touch();
  auto file = std::make_unique<sqf_file>();
  file->model = std::move(*model);
  file->names = terminated_names(file->model.head().directory);
  return file;
}

/// The kind that four letters name.
Result<SectionKind> section_kind(const char* letters) {
  if (letters == nullptr) return null_argument("kind");
  if (::strnlen(letters, 5) != 4) return usage_error("a section's kind has four letters");
  char name[5] = {};
  std::memcpy(name, letters, 4);
  return static_cast<SectionKind>(fourcc(name));
}

}  // namespace
}  // namespace sqf

using sqf::at_boundary;
using sqf::CallContext;
using sqf::null_argument;
using sqf::Result;

uint32_t sqf_version(void) {
  return SQF_VERSION;
}

const char* sqf_version_text(void) {
  return SQF_PROJECT_VERSION_TEXT;
}

const char* sqf_rule_text(uint32_t rule) {
  for (const sqf::RuleText& r : sqf::rules())
    if (static_cast<uint32_t>(r.rule) == rule) return r.text;
  return "";
}

sqf_code sqf_open(const char* path, int verify, sqf_file** file, sqf_error* error) {
  return at_boundary(error, [&](CallContext&) -> Result<void> {
    if (file == nullptr) return null_argument("file");
    *file = nullptr;
    auto opened = sqf::open_file(path, verify);
    if (!opened) return opened.error();
    *file = opened->release();
    return {};
  });
}

void sqf_close(sqf_file* file) {
  delete file;
}

sqf_code sqf_get_info(const sqf_file* file, sqf_info* info, sqf_error* error) {
  return at_boundary(error, [&](CallContext&) -> Result<void> {
    if (file == nullptr) return null_argument("file");
    if (info == nullptr) return null_argument("info");
    const sqf::Head& head = file->model.head();
    *info = {};
    info->major = head.header.major;
    info->minor = head.header.minor;
    info->tensor_count = head.header.tensor_count;
    info->input_count = static_cast<uint32_t>(head.directory.inputs.size());
    info->file_bytes = head.header.file_size;
    info->data_offset = head.data_begin();
    info->chunk_bytes = head.chunk_bytes();
    return {};
  });
}

sqf_code sqf_get_section(const sqf_file* file, const char* kind, const void** data, size_t* size,
                         sqf_error* error) {
  return at_boundary(error, [&](CallContext&) -> Result<void> {
    if (file == nullptr) return null_argument("file");
    if (data == nullptr) return null_argument("data");
    if (size == nullptr) return null_argument("size");
    const auto section = sqf::section_kind(kind);
    if (!section) return section.error();
    if (*section == sqf::SectionKind::data)
      return sqf::usage_error("DATA is reached through components, or sqf_raw_bytes");
    const auto bytes = file->model.head().section_bytes(*section);
    *data = bytes.empty() ? nullptr : bytes.data();
    *size = bytes.size();
    return {};
  });
}

sqf_code sqf_raw_bytes(const sqf_file* file, const void** data, uint64_t* size, sqf_error* error) {
  return at_boundary(error, [&](CallContext&) -> Result<void> {
    if (file == nullptr) return null_argument("file");
    if (data == nullptr) return null_argument("data");
    if (size == nullptr) return null_argument("size");
    *data = file->model.bytes().data();
    *size = file->model.bytes().size();
    return {};
  });
}

sqf_code sqf_verify(const sqf_file* file, sqf_progress_fn progress, sqf_finding_fn finding,
                    void* context, sqf_error* error) {
  return at_boundary(error, [&](CallContext&) -> Result<void> {
    if (file == nullptr) return null_argument("file");
    const sqf::Head& head = file->model.head();
    const uint64_t total = head.data_end() - head.data_begin();
    bool stopped = false;
    const auto findings = file->model.verify(sqf::kMaxFindings, [&](uint64_t done) {
      stopped = progress != nullptr && progress(context, done, total) != 0;
      return !stopped;
    });
    for (const sqf::Error& found : findings) {
      sqf_error described;
      sqf::fill_error(found, {}, &described);
      if (finding != nullptr && finding(context, &described) != 0) break;
    }
    if (stopped) return sqf::Error{sqf::Code::interrupted, "stopped by the caller"};
    if (!findings.empty()) return findings[0];
    return {};
  });
}
