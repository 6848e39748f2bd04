#include "ritz/core/threads.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "ritz/core/error.hpp"

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace ritz::threads {
namespace {

// About 30 µs: longer than the gap between two operations of a method, shorter than anyone minds.
constexpr int kSpins = 2000;

// A range of parts packs into one atomic word together with the number of its region.
constexpr Index kMaxParts = 0xFFFF;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// The parts that one thread starts with. Others may take from it when they run out of their own.
/// Claiming compares the region's number as well, so a thread that slept through a whole region
/// can never take a part of another.
class alignas(64) Range {
 public:
  void reset(std::uint32_t region, Index first, Index last) {
    word_.store(pack(region, static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(last)),
                std::memory_order_release);
  }

  /// The next part of `region`, or −1 if none is left.
  Index claim(std::uint32_t region) {
    std::uint64_t word = word_.load(std::memory_order_acquire);
    while (true) {
      const std::uint64_t next = (word >> 16) & 0xFFFFu, last = word & 0xFFFFu;
      if (static_cast<std::uint32_t>(word >> 32) != region || next == last) return -1;
      if (word_.compare_exchange_weak(word, pack(region, next + 1, last), std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
        return static_cast<Index>(next);
      }
    }
  }

 private:
  static std::uint64_t pack(std::uint32_t region, std::uint64_t next, std::uint64_t last) {
    return (std::uint64_t{region} << 32) | (next << 16) | last;
  }
  std::atomic<std::uint64_t> word_{0};
};

class Pool {
 public:
  explicit Pool(Index count)
      : count_(count), ranges_(std::make_unique<Range[]>(static_cast<std::size_t>(count))) {
    workers_.reserve(static_cast<std::size_t>(count - 1));
    try {
      for (Index id = 1; id < count; ++id) {
        workers_.emplace_back([this, id] { serve(id); });
      }
    } catch (const std::system_error&) {  // the system grants no more threads: use those it gave
      count_ = static_cast<Index>(workers_.size()) + 1;
    }
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  ~Pool() {
    stopping_.store(true, std::memory_order_relaxed);
    region_.fetch_add(1, std::memory_order_release);
    region_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  void run(Index parts, function_ref<void(Index)> body) {
    body_ = body;
    unfinished_.store(static_cast<std::uint32_t>(parts), std::memory_order_relaxed);
    const std::uint32_t region = region_.load(std::memory_order_relaxed) + 1;
    for (Index id = 0; id < count_; ++id) {
      ranges_[static_cast<std::size_t>(id)].reset(region, parts * id / count_,
                                                  parts * (id + 1) / count_);
    }
    if (parked_.load(std::memory_order_relaxed)) parked_.store(false, std::memory_order_relaxed);
    region_.store(region, std::memory_order_release);
    region_.notify_all();

    work(0, region);
    for (int spin = 0; unfinished_.load(std::memory_order_acquire) != 0 && spin < kSpins; ++spin) {
      pause();
    }
    while (const std::uint32_t left = unfinished_.load(std::memory_order_acquire)) {
      unfinished_.wait(left, std::memory_order_acquire);
    }
  }

  void park() { parked_.store(true, std::memory_order_relaxed); }

 private:
  void serve(Index id) {
    std::uint32_t seen = 0;
    while (true) {
      for (int spin = 0; region_.load(std::memory_order_relaxed) == seen && spin < kSpins &&
                         !parked_.load(std::memory_order_relaxed);
           ++spin) {
        pause();
      }
      region_.wait(seen, std::memory_order_acquire);
      seen = region_.load(std::memory_order_acquire);
      if (stopping_.load(std::memory_order_relaxed)) return;
      work(id, seen);
    }
  }

  void work(Index id, std::uint32_t region) noexcept {
    std::uint32_t done = 0;
    for (Index k = 0; k < count_; ++k) {
      Range& range = ranges_[static_cast<std::size_t>((id + k) % count_)];
      for (Index part = range.claim(region); part >= 0; part = range.claim(region)) {
        body_(part);
        ++done;
      }
    }
    if (done != 0 && unfinished_.fetch_sub(done, std::memory_order_acq_rel) == done) {
      unfinished_.notify_one();
    }
  }

  Index count_;
  std::unique_ptr<Range[]> ranges_;
  function_ref<void(Index)> body_;  // read only by a thread that has claimed a part
  alignas(64) std::atomic<std::uint32_t> region_{0};
  std::atomic<bool> parked_{false};
  std::atomic<bool> stopping_{false};
  alignas(64) std::atomic<std::uint32_t> unfinished_{0};
  std::vector<std::thread> workers_;
};

Index allowed_processors() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  return std::max<Index>(1, static_cast<Index>(std::thread::hardware_concurrency()));
}

Index default_count() {
  const char* text = std::getenv("RITZ_NUM_THREADS");
  if (text == nullptr || *text == '\0') return allowed_processors();
  char* end = nullptr;
  errno = 0;
  const long long count = std::strtoll(text, &end, 10);
  if (*end != '\0' || errno != 0 || count < 1 || count > kMaxParts) {
    throw InvalidArgument("RITZ_NUM_THREADS is \"" + std::string(text) +
                          "\"; set it to a number from 1 to 65535 or unset it");
  }
  return count;
}

/// Everything the process has of the pool. Whoever sets `busy` owns the pool until clearing it.
struct State {
  State() {
#if defined(__unix__) || defined(__APPLE__)
    pthread_atfork(nullptr, nullptr, [] { the_state().become_child(); });
#endif
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    acquire();  // and keep: callers during the rest of the exit run serially
    delete pool;
  }

  static State& the_state() {
    static State state;
    return state;
  }

  bool try_acquire() { return !busy.exchange(true, std::memory_order_acquire); }
  void acquire() {
    while (!try_acquire()) std::this_thread::yield();
  }
  void release() { busy.store(false, std::memory_order_release); }

  Index thread_count() {
    Index current = count.load(std::memory_order_relaxed);
    if (current == 0) {
      const Index first = default_count();
      if (count.compare_exchange_strong(current, first, std::memory_order_relaxed)) return first;
    }
    return current;
  }

  /// Only the forking thread lives on in the child: the pool's threads are gone and must be
  /// neither joined nor waited for, so their handles are given up.
  void become_child() {
    pool = nullptr;
    count.store(1, std::memory_order_relaxed);
    release();
  }

  std::atomic<bool> busy{false};
  std::atomic<Index> count{0};  // 0 until first asked for
  Pool* pool = nullptr;
};

/// Gives the pool back at the end of a scope.
struct Ownership {
  explicit Ownership(State& owned) : state(owned) {}
  Ownership(const Ownership&) = delete;
  Ownership& operator=(const Ownership&) = delete;
  ~Ownership() { state.release(); }
  State& state;
};

}  // namespace

void parallel_for(Index parts, function_ref<void(Index)> body) {
  State& state = State::the_state();
  if (parts < 2 || state.thread_count() == 1 || !state.try_acquire()) {
    for (Index part = 0; part < parts; ++part) body(part);
    return;
  }
  const Ownership ownership(state);
  if (state.pool == nullptr) state.pool = new Pool(state.thread_count());
  if (parts <= kMaxParts) return state.pool->run(parts, body);
  const auto chunk = [&](Index k) {
    const Index last = parts * (k + 1) / kMaxParts;
    for (Index part = parts * k / kMaxParts; part < last; ++part) body(part);
  };
  state.pool->run(kMaxParts, chunk);
}

Index num_threads() { return State::the_state().thread_count(); }

void set_num_threads(Index count) {
  if (count < 1 || count > kMaxParts) {
    throw InvalidArgument("count is " + std::to_string(count) +
                          "; pass a number of threads from 1 to 65535");
  }
  State& state = State::the_state();
  state.acquire();
  const Ownership ownership(state);
  delete std::exchange(state.pool, nullptr);
  state.count.store(count, std::memory_order_relaxed);
}

void park() noexcept {
  State& state = State::the_state();
  if (!state.try_acquire()) return;  // a region is running: its workers are wanted
  const Ownership ownership(state);
  if (state.pool != nullptr) state.pool->park();
}

}  // namespace ritz::threads
