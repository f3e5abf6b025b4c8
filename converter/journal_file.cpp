#include "converter/journal_file.hpp"

#include <cstring>

#include "format/hash.hpp"
#include "format/pending_file.hpp"

namespace sqf {

std::optional<Sealed> open_sealed(std::span<const std::byte> file) {
  SealedHead head;
  uint64_t hash = 0;
  if (file.size() < sizeof head + sizeof hash) return std::nullopt;
  const auto body = file.first(file.size() - sizeof hash);
  std::memcpy(&head, file.data(), sizeof head);
  std::memcpy(&hash, file.data() + body.size(), sizeof hash);
  if (head.magic != kWorkMagic || hash_bytes(body) != hash) return std::nullopt;
  return Sealed{head.key, head.tag, body.subspan(sizeof head)};
}

Result<void> save_sealed(const std::filesystem::path& path, uint64_t key, uint64_t tag,
                         const Pieces& payload) {
  const SealedHead head = {kWorkMagic, key, tag};
  const auto front = std::as_bytes(std::span(&head, 1));
  Hasher hasher;
  hasher.update(front);
  const uint64_t size = front.size() + payload.bytes + sizeof(uint64_t);
  auto file = PendingFile::create(path, size, true);
  if (!file) return file.error();
  if (auto r = file->write(front, 0); !r) return r;
  uint64_t at = front.size();
  for (uint64_t i = 0; i < payload.count; i++) {
    auto piece = payload.piece(i);
    if (!piece) return piece.error();
    hasher.update(*piece);
    if (auto r = file->write(*piece, at); !r) return r;
    at += piece->size();
  }
  const uint64_t hash = hasher.digest();
  if (auto r = file->write(std::as_bytes(std::span(&hash, 1)), size - sizeof hash); !r) return r;
  if (auto r = file->sync(); !r) return r;
  return file->put_in_place();
}

}  // namespace sqf
