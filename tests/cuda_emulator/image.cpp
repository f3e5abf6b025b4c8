#include "tests/cuda_emulator/image.hpp"

#include <cstdint>
#include <cstring>

namespace sqf {
namespace {

constexpr uint32_t kFatbinMagic = 0xba55ed50, kWrapperMagic = 0x466243b1;
constexpr int kInvalidImage = 200, kNoBinary = 209;

struct FatbinHeader {
  uint32_t magic;
  uint16_t version, header_bytes;
  uint64_t bytes;  // of the entries
};

struct FatbinEntry {
  uint16_t kind, version;  // 1: PTX, 2: ELF
  uint32_t header_bytes;
  uint64_t payload_bytes;
  uint32_t compressed_bytes, name_offset;
  uint16_t minor, major;
  uint32_t architecture, name, name_bytes;
  uint64_t flags, zero, uncompressed_bytes;
};
static_assert(sizeof(FatbinHeader) == 16 && sizeof(FatbinEntry) == 64);

struct Wrapper {  // what the compiler's host code holds
  uint32_t magic, version;
  const void* image;
};

/// The PTX for the newest architecture that is not newer than the device.
Image from_fatbin(const uint8_t* image, int capability) {
  FatbinHeader header;
  std::memcpy(&header, image, sizeof(header));
  Image out;
  uint32_t newest = 0;
  for (uint64_t at = header.header_bytes; at + 64 <= header.header_bytes + header.bytes;) {
    FatbinEntry entry;
    std::memcpy(&entry, image + at, sizeof(entry));
    if (entry.header_bytes < 64) break;
    if (entry.kind == 1 && entry.compressed_bytes != 0) {
      return {"", kInvalidImage, "a compressed PTX entry: build with -no-compress"};
    }
    const bool fits = entry.architecture <= static_cast<uint32_t>(capability);
    if (entry.kind == 1 && fits && entry.architecture >= newest) {
      const char* text = reinterpret_cast<const char*>(image + at + entry.header_bytes);
      out.ptx.assign(text, strnlen(text, entry.payload_bytes));
      newest = entry.architecture;
    }
    at += entry.header_bytes + entry.payload_bytes;
  }
  if (out.ptx.empty()) return {"", kNoBinary, "the fatbin has no PTX for this device"};
  return out;
}

}  // namespace

Image ptx_of_image(const void* image, int capability) {
  if (image == nullptr) return {"", kInvalidImage, "no image"};
  uint32_t magic = 0;
  // Text shorter than four bytes is no PTX either.
  const auto* text = static_cast<const char*>(image);
  if (strnlen(text, 4) == 4 || text[0] == static_cast<char>(0x50)) std::memcpy(&magic, image, 4);
  if (magic == kWrapperMagic) {
    Wrapper wrapper;
    std::memcpy(&wrapper, image, sizeof(wrapper));
    return ptx_of_image(wrapper.image, capability);
  }
  if (magic == kFatbinMagic) return from_fatbin(static_cast<const uint8_t*>(image), capability);
  if (magic == 0x464c457f) return {"", kNoBinary, "an ELF image has no PTX"};
  return {text, 0, ""};
}

}  // namespace sqf
