// Runs CUDA kernels on the host, block after block: the threads of a block are fibers that change
// at barriers and shuffles. What it shows is whether a kernel computes what it should, and whether
// all threads come to every barrier; races and the memory model it does not.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

// NOLINTBEGIN: CUDA's own names
#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __grid_constant__
#define __launch_bounds__(...)

struct dim3_simt {
  unsigned x = 1, y = 1, z = 1;
};
inline dim3_simt threadIdx, blockIdx, gridDim;

namespace ritz::testing::simt {

inline constexpr unsigned kThreads = 256, kWarp = 32, kWarps = kThreads / kWarp;
inline constexpr std::size_t kStack = 64 * 1024, kShared = 48 * 1024;

inline double* shared_memory() {
  alignas(64) static double memory[kShared / sizeof(double)];
  return memory;
}

/// The block that runs.
class Block {
 public:
  static Block& current() {
    static Block it;
    return it;
  }

  template <class Arguments>
  void run(const void* kernel, unsigned blocks, std::size_t shared, const Arguments& arguments) {
    if (shared > kShared) fail("more dynamic shared memory than a block has");
    const auto body = reinterpret_cast<void (*)(Arguments)>(const_cast<void*>(kernel));
    gridDim.x = blocks;
    for (unsigned b = 0; b < blocks; ++b) {
      blockIdx.x = b;
      // What a block finds in shared memory is not what the last one left.
      std::memset(shared_memory(), 0xFF, kShared);
      run_block([&] { body(arguments); });
    }
  }

  void block_barrier() { wait(Waiting::block); }
  void warp_barrier() { wait(Waiting::warp); }

  template <class T>
  T exchange(T value, unsigned other) {
    static_assert(sizeof(T) <= 16);
    const unsigned thread = current_;
    std::memcpy(slots_[thread].data(), &value, sizeof(T));
    warp_barrier();
    T result;
    std::memcpy(&result, slots_[thread / kWarp * kWarp + other].data(), sizeof(T));
    warp_barrier();
    return result;
  }

 private:
  enum class Waiting { no, warp, block, done };

  /// Entered by its context, and from then on by jumps, which need no system call.
  struct Fiber {
    ucontext_t context;
    jmp_buf here;
    std::unique_ptr<char[]> stack{new char[kStack]};
    Waiting waiting = Waiting::no;
    bool entered = false;
  };

  [[noreturn]] static void fail(const char* what) {
    std::fprintf(stderr, "simt: %s\n", what);
    std::abort();
  }

  template <class Body>
  void run_block(const Body& body) {
    body_ = &body;
    call_ = [](const void* b) { (*static_cast<const Body*>(b))(); };
    for (unsigned k = 0; k < kThreads; ++k) {
      Fiber& f = fibers_[k];
      f.waiting = Waiting::no;
      f.entered = false;
    }
    for (;;) {
      bool ran = false;
      for (unsigned k = 0; k < kThreads; ++k) {
        if (fibers_[k].waiting != Waiting::no) continue;
        ran = true;
        current_ = k;
        threadIdx.x = k;
        go_on(fibers_[k]);
      }
      if (!ran && !release()) return;
    }
  }

  /// Until the fiber waits or is done.
  void go_on(Fiber& f) {
    if (_setjmp(scheduler_) != 0) return;
    if (f.entered) _longjmp(f.here, 1);
    f.entered = true;
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack.get();
    f.context.uc_stack.ss_size = kStack;
    f.context.uc_link = nullptr;
    makecontext(&f.context, &Block::start, 0);
    setcontext(&f.context);
  }

  static void start() {
    Block& block = current();
    block.call_(block.body_);
    block.fibers_[block.current_].waiting = Waiting::done;
    _longjmp(block.scheduler_, 1);
  }

  void wait(Waiting what) {
    Fiber& f = fibers_[current_];
    f.waiting = what;
    if (_setjmp(f.here) == 0) _longjmp(scheduler_, 1);
  }

  /// Lets those go on who wait for nobody any more; false once all are done.
  bool release() {
    bool any = false, all_done = true, whole_block = true;
    for (unsigned w = 0; w < kWarps; ++w) {
      bool whole_warp = true;
      for (unsigned k = w * kWarp; k < (w + 1) * kWarp; ++k) {
        whole_warp = whole_warp && fibers_[k].waiting == Waiting::warp;
        whole_block = whole_block && fibers_[k].waiting == Waiting::block;
        all_done = all_done && fibers_[k].waiting == Waiting::done;
      }
      if (!whole_warp) continue;
      any = true;
      for (unsigned k = w * kWarp; k < (w + 1) * kWarp; ++k) fibers_[k].waiting = Waiting::no;
    }
    if (whole_block) {
      any = true;
      for (Fiber& f : fibers_) f.waiting = Waiting::no;
    }
    if (!any && !all_done) fail("threads wait at a barrier that others never come to");
    return any;
  }

  std::vector<Fiber> fibers_{kThreads};
  std::array<std::array<unsigned char, 16>, kThreads> slots_{};
  jmp_buf scheduler_{};
  unsigned current_ = 0;
  const void* body_ = nullptr;
  void (*call_)(const void*) = nullptr;
};

}  // namespace ritz::testing::simt

inline void __syncthreads() { ritz::testing::simt::Block::current().block_barrier(); }
inline void __syncwarp() { ritz::testing::simt::Block::current().warp_barrier(); }
inline void __threadfence() {}
template <class T>
T __shfl_xor_sync(unsigned, T value, int distance) {
  return ritz::testing::simt::Block::current().exchange(
      value, (threadIdx.x % 32) ^ static_cast<unsigned>(distance));
}
template <class T>
T __ldcg(const T* address) {
  return *address;
}
inline unsigned atomicAdd(unsigned* address, unsigned value) {
  const unsigned before = *address;
  *address += value;
  return before;
}
inline void sincospi(double x, double* sine, double* cosine) {
  const double quarters = std::round(2.0 * x), rest = M_PI * (x - 0.5 * quarters);
  const double s = std::sin(rest), c = std::cos(rest);
  const int turn = static_cast<int>(quarters) & 3;
  *sine = turn == 0 ? s : turn == 1 ? c : turn == 2 ? -s : -c;
  *cosine = turn == 0 ? c : turn == 1 ? -s : turn == 2 ? -c : s;
}
// NOLINTEND
