// Memory of the host space, findable by any address inside it.
#pragma once

#include <cstddef>
#include <memory>

#include "ritz/core/types.hpp"

namespace ritz::host_memory {

/// `bytes` of uninitialised memory at a 64-byte boundary, freed with the last copy of the pointer.
RITZ_API std::shared_ptr<void> allocate(std::size_t bytes);

/// The living buffer from `allocate` that contains the address; null for any other memory. With it
/// an array of another language that shows a vector of a workspace keeps the workspace's memory
/// alive.
RITZ_API std::shared_ptr<void> owner(const void* address);

}  // namespace ritz::host_memory
