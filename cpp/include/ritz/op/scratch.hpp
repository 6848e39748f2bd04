// Temporaries of composed operators: allocated once, shared safely by concurrent products.
#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "ritz/core/arena.hpp"

namespace ritz {

/// Hands out blocks of a space's memory, and numbers of the host beside them; each is returned when
/// its lease ends and used again.
template <Space S>
class Scratch {
 public:
  using T = typename S::Value;

  explicit Scratch(S space) : pool_(std::make_shared<Pool>(std::move(space))) {}

  class Lease {
   public:
    Lease(std::shared_ptr<typename Scratch::Pool> pool, Index rows, Index cols)
        : pool_(std::move(pool)) {
      {
        const std::lock_guard lock(pool_->mutex);
        if (!pool_->idle.empty()) {
          memory_ = std::move(pool_->idle.back());
          pool_->idle.pop_back();
        }
      }
      memory_.arena.begin(pool_->space, Arena<S>::padded(rows) * cols);
      block_ = memory_.arena.block(rows, cols);
    }
    ~Lease() {
      const std::lock_guard lock(pool_->mutex);
      pool_->idle.push_back(std::move(memory_));
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    BlockView<T> operator*() const { return block_; }
    /// Room for coefficients on the host.
    std::span<WideOf<T>> numbers(std::size_t count) {
      if (memory_.numbers.size() < count) memory_.numbers.resize(count);
      return std::span(memory_.numbers).first(count);
    }

   private:
    std::shared_ptr<typename Scratch::Pool> pool_;
    typename Scratch::Memory memory_;
    BlockView<T> block_;
  };

  Lease take(Index rows, Index cols) const { return Lease(pool_, rows, cols); }
  S& space() const { return pool_->space; }

 private:
  struct Memory {
    Arena<S> arena;
    std::vector<WideOf<T>> numbers;
  };
  struct Pool {
    explicit Pool(S s) : space(std::move(s)) {}
    S space;
    std::mutex mutex;
    std::vector<Memory> idle;
  };

  std::shared_ptr<Pool> pool_;
};

}  // namespace ritz
