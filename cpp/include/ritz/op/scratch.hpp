// Temporaries of composed operators: allocated once, shared safely by concurrent products.
#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "ritz/core/arena.hpp"

namespace ritz {

/// Hands out blocks of a space's memory; each is returned when its lease ends and used again.
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
          arena_ = std::move(pool_->idle.back());
          pool_->idle.pop_back();
        }
      }
      arena_.begin(pool_->space, Arena<S>::padded(rows) * cols);
      block_ = arena_.block(rows, cols);
    }
    ~Lease() {
      const std::lock_guard lock(pool_->mutex);
      pool_->idle.push_back(std::move(arena_));
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    BlockView<T> operator*() const { return block_; }

   private:
    std::shared_ptr<typename Scratch::Pool> pool_;
    Arena<S> arena_;
    BlockView<T> block_;
  };

  Lease take(Index rows, Index cols) const { return Lease(pool_, rows, cols); }
  S& space() const { return pool_->space; }

 private:
  struct Pool {
    explicit Pool(S s) : space(std::move(s)) {}
    S space;
    std::mutex mutex;
    std::vector<Arena<S>> idle;
  };

  std::shared_ptr<Pool> pool_;
};

}  // namespace ritz
