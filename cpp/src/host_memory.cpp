#include "ritz/space/host_memory.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ritz::host_memory {
namespace {

// A cache line, the widest vector register, and what array frameworks ask of memory they share.
constexpr std::align_val_t kAlignment{64};

struct Registry {
  struct Entry {
    std::size_t bytes;
    std::weak_ptr<void> buffer;
  };
  std::mutex mutex;
  std::map<const std::byte*, Entry, std::less<>> entries;  // by first address
};

/// Never destroyed: buffers may outlive every static object.
Registry& registry() {
  static Registry& instance = *new Registry;
  return instance;
}

/// Asks for large pages, as NumPy does for its arrays: a fresh vector of 80 MB takes 40 page faults
/// then instead of 20,000. Only a request: nothing depends on it.
void prefer_large_pages([[maybe_unused]] void* start, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__)
  constexpr std::size_t kLarge = std::size_t{4}
                                 << 20;  // below, little is gained, and much rounded up
  constexpr std::size_t kPage = 4096;
  if (bytes < kLarge) return;
  const std::size_t skipped = (kPage - reinterpret_cast<std::uintptr_t>(start) % kPage) % kPage;
  madvise(static_cast<std::byte*>(start) + skipped, bytes - skipped, MADV_HUGEPAGE);
#endif
}

void free(void* start) {
  {
    Registry& r = registry();
    const std::lock_guard lock(r.mutex);
    r.entries.erase(static_cast<const std::byte*>(start));
  }
  ::operator delete(start, kAlignment);
}

}  // namespace

std::shared_ptr<void> allocate(std::size_t bytes) {
  bytes = std::max<std::size_t>(bytes, 1);
  const std::shared_ptr<void> buffer(::operator new(bytes, kAlignment), free);
  prefer_large_pages(buffer.get(), bytes);
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  r.entries.emplace(static_cast<const std::byte*>(buffer.get()), Registry::Entry{bytes, buffer});
  return buffer;
}

std::shared_ptr<void> owner(const void* address) {
  const auto* at = static_cast<const std::byte*>(address);
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  auto after = r.entries.upper_bound(at);
  if (after == r.entries.begin()) return nullptr;
  const auto& [start, entry] = *std::prev(after);
  return at < start + entry.bytes ? entry.buffer.lock() : nullptr;
}

}  // namespace ritz::host_memory
