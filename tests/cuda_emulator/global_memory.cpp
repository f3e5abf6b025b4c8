#include "tests/cuda_emulator/global_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <utility>

namespace sqf {
namespace {

constexpr uint64_t kPage = 4096;

uint64_t in_pages(uint64_t bytes) {
  return (bytes + kPage - 1) / kPage * kPage;
}

void add_relaxed(uint32_t& to, uint32_t value) {
  std::atomic_ref<uint32_t>(to).fetch_add(value, std::memory_order_relaxed);
}

}  // namespace

Pages::Pages(uint64_t wanted) {
  void* const at = mmap(nullptr, in_pages(wanted) + kPage, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return;
  data = static_cast<uint8_t*>(at);
  bytes = in_pages(wanted) + kPage;
  mprotect(data + bytes - kPage, kPage, PROT_NONE);
}

Pages::Pages(Pages&& other) noexcept
    : data(std::exchange(other.data, nullptr)), bytes(std::exchange(other.bytes, 0)) {}

Pages& Pages::operator=(Pages&& other) noexcept {
  std::swap(data, other.data);
  std::swap(bytes, other.bytes);
  return *this;
}

Pages::~Pages() {
  if (data != nullptr) munmap(data, bytes);
}

void Pages::close() {
  madvise(data, bytes, MADV_DONTNEED);
  mprotect(data, bytes, PROT_NONE);
}

uint64_t GlobalMemory::allocate(uint64_t bytes, const std::string& name, bool host) {
  auto made = std::make_unique<Allocation>();
  made->pages = Pages(bytes);
  made->defined = Pages(bytes);
  made->read = Pages(bytes);
  made->sectors = Pages((bytes / 32 + 2) * sizeof(SectorReads));
  if (made->pages.data == nullptr || made->defined.data == nullptr || made->read.data == nullptr ||
      made->sectors.data == nullptr) {
    return 0;
  }
  made->address = reinterpret_cast<uintptr_t>(made->pages.data);
  made->bytes = bytes;
  made->name = name;
  made->host = host;
  made->touched.assign(bytes / kReadPage + 1, 0);
  if (host) {
    define(*made, made->address, bytes);
  } else {
    used_ += bytes;
  }
  const uint64_t address = made->address;
  allocations_[address] = std::move(made);
  return address;
}

bool GlobalMemory::release(uint64_t address, bool host) {
  const auto found = allocations_.find(address);
  if (found == allocations_.end() || found->second->freed || found->second->host != host) {
    return false;
  }
  Allocation& gone = *found->second;
  gone.freed = true;
  gone.pages.close();
  gone.defined = Pages();
  gone.read = Pages();
  gone.sectors = Pages();
  if (!host) used_ -= gone.bytes;
  return true;
}

void GlobalMemory::release_all() {
  allocations_.clear();
  tags_.clear();
  used_ = 0;
}

Allocation* GlobalMemory::find(uint64_t address) {
  auto above = allocations_.upper_bound(address);
  if (above == allocations_.begin()) return nullptr;
  Allocation& below = *std::prev(above)->second;
  return !below.freed && address - below.address < below.bytes ? &below : nullptr;
}

Allocation* GlobalMemory::holding(uint64_t address, uint64_t bytes) {
  Allocation* const found = find(address);
  return found != nullptr && bytes <= found->bytes - (address - found->address) ? found : nullptr;
}

std::string GlobalMemory::describe(uint64_t address) const {
  const auto above = allocations_.upper_bound(address);
  const Allocation* nearest = nullptr;
  uint64_t distance = UINT64_MAX;
  std::string side;
  if (above != allocations_.begin()) {
    nearest = std::prev(above)->second.get();
    const uint64_t end = nearest->address + nearest->bytes;
    distance = address < end ? 0 : address - end;
    side = distance == 0 && address < end
               ? "at byte " + std::to_string(address - nearest->address) + " of"
               : std::to_string(distance) + " bytes behind the end of";
  }
  if (above != allocations_.end() && above->first - address < distance) {
    nearest = above->second.get();
    distance = above->first - address;
    side = std::to_string(distance) + " bytes before";
  }
  if (nearest == nullptr || distance > uint64_t{1} << 32) return "near no allocation";
  return side + (nearest->freed ? " the freed " : " the ") + nearest->name + " of " +
         std::to_string(nearest->bytes) + " bytes";
}

void GlobalMemory::define(Allocation& allocation, uint64_t address, uint64_t bytes) {
  std::memset(allocation.defined.data + (address - allocation.address), 1, bytes);
}

void GlobalMemory::tag(uint64_t address, uint64_t bytes, const std::string& name) {
  tags_[address] = {bytes, name};
}

ReadRange GlobalMemory::reads_of(const Allocation& allocation, uint64_t address,
                                 uint64_t bytes) const {
  ReadRange range{"", address, bytes};
  const uint64_t first = address - allocation.address, end = first + bytes;
  const auto* sectors = reinterpret_cast<const SectorReads*>(allocation.sectors.data);
  for (uint64_t page = first / kReadPage; page * kReadPage < end; page++) {
    if (allocation.touched[page] == 0) continue;
    const uint64_t low = std::max(first, page * kReadPage);
    const uint64_t high = std::min(end, (page + 1) * kReadPage);
    for (uint64_t i = low; i < high; i++) range.unique_bytes += allocation.read.data[i];
    for (uint64_t s = low / 32; s < (high + 31) / 32; s++) {
      range.read_bytes += sectors[s].bytes;
      range.fetched_sectors += sectors[s].fetches;
      range.unique_sectors += sectors[s].fetches != 0 ? 1 : 0;
    }
  }
  return range;
}

std::vector<ReadRange> GlobalMemory::take_reads() {
  std::vector<ReadRange> ranges;
  for (const auto& [address, allocation] : allocations_) {
    if (allocation->freed) continue;
    const bool any = std::find(allocation->touched.begin(), allocation->touched.end(), 1) !=
                     allocation->touched.end();
    if (!any) continue;
    bool tagged = false;
    for (auto tag = tags_.lower_bound(address);
         tag != tags_.end() && tag->first < address + allocation->bytes; ++tag) {
      ReadRange range = reads_of(*allocation, tag->first, tag->second.first);
      range.name = tag->second.second;
      tagged = true;
      if (range.fetched_sectors != 0) ranges.push_back(std::move(range));
    }
    if (!tagged) {
      ranges.push_back(reads_of(*allocation, address, allocation->bytes));
      ranges.back().name = allocation->name;
    }
    for (uint64_t page = 0; page < allocation->touched.size(); page++) {
      if (allocation->touched[page] == 0) continue;
      allocation->touched[page] = 0;
      const uint64_t low = page * kReadPage;
      const uint64_t high = std::min(allocation->bytes, low + kReadPage);
      std::memset(allocation->read.data + low, 0, high - low);
      std::memset(allocation->sectors.data + low / 32 * sizeof(SectorReads), 0,
                  ((high - low) / 32 + 1) * sizeof(SectorReads));
    }
  }
  return ranges;
}

Allocation* GlobalView::locate(uint64_t address, uint32_t bytes, Problem& problem) {
  if (last_ == nullptr || last_->freed || address < last_->address ||
      address - last_->address >= last_->bytes) {
    last_ = memory_.find(address);
  }
  if (last_ == nullptr || bytes > last_->bytes - (address - last_->address)) {
    problem = Problem::outside;
    return nullptr;
  }
  if (address % bytes != 0) {
    problem = Problem::misaligned;
    return nullptr;
  }
  return last_;
}

Problem GlobalView::read(uint64_t address, uint32_t bytes, void* out) {
  Problem problem = Problem::none;
  Allocation* const found = locate(address, bytes, problem);
  if (found == nullptr) return problem;
  const uint64_t offset = address - found->address;
  if (std::memchr(found->defined.data + offset, 0, bytes) != nullptr) return Problem::undefined;
  std::memset(found->read.data + offset, 1, bytes);
  auto* sectors = reinterpret_cast<SectorReads*>(found->sectors.data);
  add_relaxed(sectors[offset / 32].bytes, bytes);
  std::memcpy(out, found->pages.data + offset, bytes);
  return Problem::none;
}

Problem GlobalView::write(uint64_t address, uint32_t bytes, const void* from) {
  Problem problem = Problem::none;
  Allocation* const found = locate(address, bytes, problem);
  if (found == nullptr) return problem;
  if (found->constant) return Problem::constant;
  const uint64_t offset = address - found->address;
  std::memcpy(found->pages.data + offset, from, bytes);
  std::memset(found->defined.data + offset, 1, bytes);
  return Problem::none;
}

uint8_t* GlobalView::place(uint64_t address, uint32_t bytes, Problem& problem) {
  Allocation* const found = locate(address, bytes, problem);
  if (found == nullptr) return nullptr;
  const uint64_t offset = address - found->address;
  if (std::memchr(found->defined.data + offset, 0, bytes) != nullptr) {
    problem = Problem::undefined;
    return nullptr;
  }
  return found->pages.data + offset;
}

void GlobalView::note_fetch(const uint64_t (&addresses)[32], uint32_t active) {
  std::array<uint64_t, 32> noted{};  // an aligned access lies in one sector
  size_t count = 0;
  for (; active != 0; active &= active - 1) {
    const uint64_t address = addresses[std::countr_zero(active)];
    const uint64_t sector = address / 32;
    const auto end = noted.begin() + static_cast<ptrdiff_t>(count);
    if (count > 0 && *(end - 1) == sector) continue;
    if (std::find(noted.begin(), end, sector) != end) continue;
    noted[count++] = sector;
    Problem problem = Problem::none;
    Allocation* const found = locate(address, 1, problem);
    if (found == nullptr) continue;
    const uint64_t offset = address - found->address;
    std::atomic_ref<uint8_t>(found->touched[offset / GlobalMemory::kReadPage])
        .store(1, std::memory_order_relaxed);
    auto* sectors = reinterpret_cast<SectorReads*>(found->sectors.data);
    add_relaxed(sectors[offset / 32].fetches, 1);
  }
}

}  // namespace sqf
