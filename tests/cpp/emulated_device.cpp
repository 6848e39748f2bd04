// A device without a device: the backend of a CudaSpace on a thread of the host. It runs the same
// formulas as the CUDA kernels, later than they were queued, on memory that nobody else can touch:
// its addresses are not the host's, so that looking at them ends the program. With
// RITZ_EMULATED_KERNELS=cuda it runs the CUDA kernels themselves, thread by thread, and with
// RITZ_EMULATED_BLAS the library of that name makes the products that cuBLAS would.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "../../cpp/cuda/blas.hpp"
#include "../../cpp/cuda/kernels.cuh"

namespace ritz::device {

struct Recording {
  std::vector<std::function<void()>> tasks;
};

namespace {

// No processor maps addresses with this bit set and the highest clear.
constexpr std::uintptr_t kDevice = std::uintptr_t{1} << 62;

template <class P>
P* host(P* address) {
  const auto bits = reinterpret_cast<std::uintptr_t>(address);
  if (address != nullptr && (bits & kDevice) == 0) std::abort();  // not an address of the device
  return reinterpret_cast<P*>(bits & ~kDevice);
}
void* device(void* address) {
  return reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(address) | kDevice);
}

thread_local std::string last_message;
Error fail(Error error, std::string message) {
  last_message = std::move(message);
  return error;
}

// ---- kernels ----

struct RandomMath : HostMath {
  static double log(double x) { return std::log(x); }
  static void sincospi(double x, double* sine, double* cosine) { ::sincospi(x, sine, cosine); }
};

/// A sum by as many partial sums as a device's threads take: its rounding is as small.
template <class W>
class Sum {
 public:
  void add(W x) { parts_[next_++ % parts_.size()] += x; }
  W value() const {
    std::array<W, 256> sums = parts_;
    for (std::size_t half = sums.size() / 2; half > 0; half /= 2) {
      for (std::size_t k = 0; k < half; ++k) sums[k] += sums[k + half];
    }
    return sums[0];
  }

 private:
  std::array<W, 256> parts_{};
  std::size_t next_ = 0;
};

template <class E>
class Kernels {
  using W = WideElement<E>;

 public:
  explicit Kernels(const Call& call) : a_(call) {
    for (int k = 0; k < 4; ++k) {
      const W c = value_of<E>(call.c[k]);
      if constexpr (ElementTraits<E>::kComplex) {
        c_[k] = E(c);
      } else {
        c_[k] = static_cast<E>(c);
      }
    }
  }

  bool run() {
    if (visit_elementwise<E>(a_.kernel, [&]<class Op>() { elementwise<Op>(); })) return true;
    switch (a_.kernel) {
      case Kernel::dots:
        for (Index k = 0; k < a_.cols; ++k) {
          put(a_.out[k], dot(vector(2 * k), vector(2 * k + 1)));
        }
        return true;
      case Kernel::cast:
        cast();
        return true;
      case Kernel::random_signs:
      case Kernel::random_uniform:
      case Kernel::random_normal:
        for (Index i = 0; i < a_.n; ++i) {
          vector(0)[i] = random_element<E, RandomMath>(a_.kernel, a_.seed, a_.stream, i);
        }
        return true;
      case Kernel::multi_shift:
        for (Index j = 0; j < a_.cols; ++j) {
          E* X = vector(1) + j * a_.ld;
          E* P = vector(2) + j * a_.ld2;
          for (Index i = 0; i < a_.n; ++i) {
            X[i] = E(widen(X[i]) + coefficients(0)[j] * widen(P[i]));
            P[i] = E(coefficients(2)[j] * widen(vector(0)[i]) + coefficients(1)[j] * widen(P[i]));
          }
        }
        return true;
      case Kernel::subtract_project:
        subtract(coefficients(0), vector(1));
        project(vector(1), sums());
        return true;
      case Kernel::project:
        project(vector(1), sums());
        return true;
      case Kernel::subtract_columns:
        subtract(coefficients(0), vector(1));
        put(a_.out[0], real_part(dot(vector(1), vector(1))));
        return true;
      case Kernel::axpy_columns:
        subtract(coefficients(0), vector(1), -1.0);
        return true;
      case Kernel::project_block:
        for (Index c = 0; c < a_.cols2; ++c) project(vector(1) + c * a_.ld2, sums() + c * a_.cols);
        return true;
      case Kernel::subtract_block:
        for (Index c = 0; c < a_.cols2; ++c) {
          subtract(coefficients(0) + c * a_.cols, vector(1) + c * a_.ld2);
        }
        return true;
      case Kernel::combine:
        combine();
        return true;
      case Kernel::csr:
        csr();
        return true;
      case Kernel::cg_batch_start:
        for (Index k = 0; k < a_.cols; ++k) start_system(k);
        return true;
      case Kernel::cg_batch:
        for (Index k = 0; k < a_.cols; ++k) step_system(k);
        return true;
      case Kernel::dense_batch:
        for (Index k = 0; k < a_.cols; ++k) multiply_system(k);
        return true;
      default:
        return false;
    }
  }

 private:
  E* vector(Index k) const { return static_cast<E*>(a_.v[k]); }
  const W* coefficients(Index k) const { return reinterpret_cast<const W*>(a_.h[k]); }
  W* sums() const { return reinterpret_cast<W*>(a_.out[0]); }

  template <class Op>
  void elementwise() {
    using Result = decltype(Op::apply(static_cast<E*>(nullptr), static_cast<const E*>(nullptr)));
    constexpr bool kSums = !std::is_void_v<Result>;
    Sum<std::conditional_t<kSums, Result, int>> sum;
    for (Index i = 0; i < a_.n; ++i) {
      E e[4] = {};
      for (int k = 0; k < 4; ++k) {
        const bool reads = (Op::kReads >> k & 1u) != 0u;
        if (reads && (Op::unless(k) < 0 || !(c_[Op::unless(k)] == E(0)))) e[k] = vector(k)[i];
      }
      if constexpr (kSums) {
        sum.add(Op::apply(e, c_));
      } else {
        Op::apply(e, c_);
      }
      for (int k = 0; k < 4; ++k) {
        if ((Op::kWrites >> k & 1u) != 0u) vector(k)[i] = e[k];
      }
    }
    if constexpr (kSums) put(a_.out[0], sum.value());
  }

  W dot(const E* x, const E* y) const {
    Sum<W> sum;
    for (Index i = 0; i < a_.n; ++i) sum.add(product(x[i], y[i]));
    return sum.value();
  }
  void project(const E* w, W* to) const {
    for (Index j = 0; j < a_.cols; ++j) to[j] = dot(vector(0) + j * a_.ld, w);
  }
  void subtract(const W* h, E* w, double sign = 1.0) const {
    for (Index i = 0; i < a_.n; ++i) {
      W sum = widen(w[i]);
      for (Index j = 0; j < a_.cols; ++j) {
        sum -= W(sign) * h[j] * widen(vector(0)[i + j * a_.ld]);
      }
      w[i] = E(sum);
    }
  }
  void combine() const {
    std::vector<W> row(static_cast<std::size_t>(a_.cols2));
    for (Index i = 0; i < a_.n; ++i) {
      for (Index c = 0; c < a_.cols2; ++c) {
        W sum{};
        for (Index j = 0; j < a_.cols; ++j) {
          sum += widen(vector(0)[i + j * a_.ld]) * coefficients(0)[j + c * a_.ld2];
        }
        row[static_cast<std::size_t>(c)] = sum;
      }
      for (Index c = 0; c < a_.cols2; ++c) {
        vector(0)[i + c * a_.ld] = E(row[static_cast<std::size_t>(c)]);
      }
    }
  }
  void csr() const {
    const auto* starts = static_cast<const Index*>(a_.v[0]);
    const auto* indices = static_cast<const Index*>(a_.v[1]);
    for (Index c = 0; c < a_.cols; ++c) {
      for (Index i = 0; i < a_.n; ++i) {
        W sum{};
        for (Index k = starts[i]; k < starts[i + 1]; ++k) {
          sum += widen(vector(2)[k]) * widen(vector(3)[indices[k] + c * a_.ld]);
        }
        vector(4)[i + c * a_.ld2] = E(sum);
      }
    }
  }
  E* system(Index v, Index ld, Index k) const {
    return a_.v[v] != nullptr ? vector(v) + k * ld : nullptr;
  }
  void start_system(Index k) const {
    const BatchState state{a_.out[0], a_.cols};
    if (state.status()[k] != BatchState::kClaimed) return;
    const E *b = system(0, a_.ld, k), *q = system(1, a_.n, k), *d = system(4, a_.ld2, k);
    E *r = system(2, a_.n, k), *p = system(3, a_.n, k);
    for (Index i = 0; i < a_.n; ++i) {
      r[i] = q != nullptr ? b[i] - q[i] : b[i];
      p[i] = d != nullptr ? d[i] * r[i] : r[i];
    }
    state.residual()[k] = std::sqrt(real_part(dot(r, r)));
    state.rho()[k] = real_part(dot(r, p));
  }
  void step_system(Index k) const {
    const BatchState state{a_.out[0], a_.cols};
    if (state.status()[k] != BatchState::kRunning) return;
    E *p = system(0, a_.n, k), *q = system(1, a_.n, k), *r = system(2, a_.n, k);
    E* x = system(3, a_.ld, k);
    const E* d = system(4, a_.ld2, k);
    const double rho = state.rho()[k], pq = real_part(dot(p, q));
    if (!BatchState::curved(pq)) return state.end_uncurved(k, pq);
    const E alpha = E(W(rho / pq));
    for (Index i = 0; i < a_.n; ++i) r[i] = r[i] - alpha * q[i];
    for (Index i = 0; i < a_.n; ++i) q[i] = d != nullptr ? d[i] * r[i] : r[i];
    const double norm = std::sqrt(real_part(dot(r, r))), next = real_part(dot(r, q));
    if (!BatchState::usable(norm, next)) return state.end_unusable(k, norm, next);
    const E beta = E(W(next / rho));
    for (Index i = 0; i < a_.n; ++i) {
      x[i] = x[i] + alpha * p[i];
      p[i] = q[i] + beta * p[i];
    }
    state.advance(k, norm, next, a_.cols2);
  }
  void multiply_system(Index k) const {
    if (!BatchSelection{a_.h[0], a_.c[0].re}.has(k)) return;
    const E* matrix = vector(0) + k * a_.n * a_.n;
    const E* x = system(1, a_.ld, k);
    E* y = system(2, a_.ld2, k);
    for (Index i = 0; i < a_.n; ++i) {
      Sum<W> sum;
      for (Index j = 0; j < a_.n; ++j) sum.add(widen(matrix[i * a_.n + j]) * widen(x[j]));
      y[i] = E(sum.value());
    }
  }
  void cast() const {
    const auto to = [&]<class U>(U* y) {
      for (Index i = 0; i < a_.n; ++i) y[i] = U(vector(0)[i]);
    };
    using R = std::conditional_t<std::is_same_v<RealElement<E>, float>, double, float>;
    if constexpr (ElementTraits<E>::kComplex) {
      to(static_cast<Complex<R>*>(a_.v[1]));
    } else {
      to(static_cast<R*>(a_.v[1]));
    }
  }

  const Call& a_;
  E c_[4];
};

/// The sums of a frozen call are what it is frozen at.
void freeze(const Call& call) {
  const bool complex = call.element == Element::c8 || call.element == Element::c16;
  const Index width = complex ? 2 : 1;
  Index values = 1;
  if (call.kernel == Kernel::project || call.kernel == Kernel::subtract_project) {
    values = call.cols;
  } else if (call.kernel == Kernel::project_block) {
    values = call.cols * call.cols2;
  }
  if (call.kernel == Kernel::recurrence) return;
  const double x = *call.guard.x;
  for (double* out : call.out) {
    if (out == nullptr) continue;
    for (Index k = 0; k < values; ++k) {
      out[k * width] = x;
      if (width == 2) out[k * width + 1] = 0.0;
    }
  }
}

/// One step of a recurrence.
bool step(const Call& call) {
  return visit_recurrence(static_cast<std::int32_t>(call.cols), [&]<class R>() {
    constexpr std::size_t kStride = kSlotStride<R>;
    NumberOf<R> sums[kStepSums] = {};
    for (std::size_t k = 0; k < kStepSums; ++k) {
      if (call.h[k] != nullptr) sums[k] = from_slot<NumberOf<R>>(call.h[k]);
    }
    double scalars[sizeof(R) / sizeof(double)];
    for (std::size_t k = 0; k < std::size(scalars); ++k) scalars[k] = call.out[0][kStride * k];
    reinterpret_cast<R*>(scalars)->template step<HostMath>(static_cast<int>(call.ld), sums);
    for (std::size_t k = 0; k < std::size(scalars); ++k) {
      put_scalar<kStride>(call.out[0] + kStride * k, scalars[k]);
    }
  });
}

/// The CUDA kernels, by fibers of the host.
bool run_cuda(const Call& call) {
  static std::vector<double> partials(kPartials);
  static unsigned ticket = 0;
  const Resources resources{1, partials.data(), &ticket};
  std::vector<Launch> launches;
  bool known = false;
  switch (call.element) {
    case Element::f4:
      known = plan<float>(call, resources, launches);
      break;
    case Element::f8:
      known = plan<double>(call, resources, launches);
      break;
    case Element::c8:
      known = plan<Complex<float>>(call, resources, launches);
      break;
    case Element::c16:
      known = plan<Complex<double>>(call, resources, launches);
      break;
  }
  for (const Launch& l : launches) {
    testing::simt::Block::current().run(l.kernel, l.blocks, l.shared, l.arguments);
  }
  return known;
}

std::atomic<std::uint64_t> products;

/// Null unless one was asked for.
const Blas* blas() {
  alignas(256) static char workspace[256];
  static const std::unique_ptr<Blas> it = []() -> std::unique_ptr<Blas> {
    const char* name = std::getenv("RITZ_EMULATED_BLAS");
    if (name == nullptr) return nullptr;
    const auto library = BlasLibrary::find({&name, 1});
    auto started = library ? Blas::start(*library, nullptr, workspace, sizeof(workspace)) : nullptr;
    if (started == nullptr) std::abort();
    return started;
  }();
  return it.get();
}

bool run(Call call) {
  static const bool cuda = [] {
    const char* kernels = std::getenv("RITZ_EMULATED_KERNELS");
    return kernels != nullptr && std::string(kernels) == "cuda";
  }();
  for (void*& v : call.v) v = host(v);
  for (Coefficient& c : call.c) {
    c.above = host(c.above);
    c.below = host(c.below);
  }
  for (const double*& h : call.h) h = host(h);
  for (double*& out : call.out) out = host(out);
  call.guard.x = host(call.guard.x);
  if (Blas::takes(call) && blas() != nullptr) {
    ++products;
    return blas()->multiply(call) == Blas::Status::success;
  }
  if (cuda) return run_cuda(call);
  if (frozen(call.guard)) {
    freeze(call);
    return true;
  }
  if (call.kernel == Kernel::recurrence) return step(call);
  switch (call.element) {
    case Element::f4:
      return Kernels<float>(call).run();
    case Element::f8:
      return Kernels<double>(call).run();
    case Element::c8:
      return Kernels<Complex<float>>(call).run();
    case Element::c16:
      return Kernels<Complex<double>>(call).run();
  }
  return false;
}

// ---- the queue ----

/// One thread that does what was queued, in order.
class Worker {
 public:
  Worker() : thread_([this] { work(); }) {}
  ~Worker() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  /// While it is shut, nothing that is added from now on is done.
  void gate(bool shut) {
    {
      const std::lock_guard lock(mutex_);
      shut_ = shut;
    }
    changed_.notify_all();
    if (!shut) return;
    add([this] {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return !shut_; });
    });
  }
  void add(std::function<void()> task) {
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    changed_.notify_all();
  }
  /// The number of tasks so far.
  std::uint64_t added() {
    const std::lock_guard lock(mutex_);
    return done_ + tasks_.size() + (busy_ ? 1 : 0);
  }
  bool wait(std::uint64_t tasks, double seconds) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::duration<double>(seconds),
                             [&] { return done_ >= tasks; });
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return over_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      busy_ = true;
      lock.unlock();
      task();
      lock.lock();
      busy_ = false;
      ++done_;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool busy_ = false, over_ = false, shut_ = false;
  std::uint64_t done_ = 0;
  std::thread thread_;
};

Worker& worker() {
  static Worker it;
  return it;
}

std::uint64_t memory_size() {
  const char* bytes = std::getenv("RITZ_EMULATED_MEMORY");
  return bytes != nullptr ? std::strtoull(bytes, nullptr, 10) : std::uint64_t{1} << 30;
}

struct Memory {
  std::mutex mutex;
  std::unordered_map<void*, std::size_t> blocks;
  std::uint64_t used = 0, allocations = 0;
};
Memory& memory() {
  static Memory it;
  return it;
}

Error count_devices(std::int32_t* devices) {
  *devices = 1;
  return Error::none;
}
Error describe(std::int32_t number, Description* to) {
  if (number != 0) return fail(Error::failed, "there is one emulated device");
  *to = {};
  std::strcpy(to->name, "emulated on the host");
  to->processors = 1;
  to->memory = memory_size();
  return Error::none;
}
Error locate(const void* address, std::int32_t* number) {
  *number = (reinterpret_cast<std::uintptr_t>(address) & kDevice) != 0 ? 0 : -1;
  return Error::none;
}
Error open(std::int32_t number, void*, Queue** to) {
  if (number != 0) return fail(Error::failed, "there is one emulated device");
  worker();
  *to = reinterpret_cast<Queue*>(&memory());
  return Error::none;
}
void close(Queue*) {
  while (!worker().wait(worker().added(), 1.0)) {
  }
}
Error allocate(Queue*, std::size_t bytes, void** to) {
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  if (m.used + bytes > memory_size()) return fail(Error::out_of_memory, "out of memory");
  void* block = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (block == nullptr) return fail(Error::out_of_memory, "out of memory");
  std::memset(block, 0xFF, bytes);  // all NaN
  m.blocks[block] = bytes;
  m.used += bytes;
  ++m.allocations;
  *to = device(block);
  return Error::none;
}
std::unique_ptr<Recording> recording;
Error not_recorded(const char* what) {
  return fail(Error::failed, std::string(what) + " cannot be recorded");
}

void release(Queue*, void* address) {
  worker().add([block = host(static_cast<char*>(address))] {
    Memory& m = memory();
    const std::lock_guard lock(m.mutex);
    const auto found = m.blocks.find(block);
    if (found == m.blocks.end()) std::abort();
    std::memset(block, 0xFF, found->second);
    m.used -= found->second;
    m.blocks.erase(found);
    std::free(block);
  });
}
Error enqueue(Queue*, const Call* calls, std::size_t count) {
  for (std::size_t k = 0; k < count; ++k) {
    if (calls[k].kernel >= Kernel::count) return fail(Error::failed, "no such kernel");
  }
  auto task = [todo = std::vector<Call>(calls, calls + count)] {
    for (const Call& call : todo) {
      if (call.kernel == Kernel::recording) {
        for (const auto& again : static_cast<const Recording*>(call.v[0])->tasks) again();
      } else if (!run(call)) {
        std::abort();
      }
    }
  };
  if (recording) {
    recording->tasks.emplace_back(std::move(task));
  } else {
    worker().add(std::move(task));
  }
  return Error::none;
}
Error upload(Queue*, void* to, const void* from, std::size_t bytes) {
  if (recording) return not_recorded("numbers brought from the host");
  const auto* start = static_cast<const char*>(from);
  worker().add([to = host(static_cast<char*>(to)), data = std::vector<char>(start, start + bytes)] {
    std::memcpy(to, data.data(), data.size());
  });
  return Error::none;
}
Error download(Queue*, void* to, const void* from, std::size_t bytes) {
  if (recording) return not_recorded("a read");
  worker().add([=, from = host(static_cast<const char*>(from))] { std::memcpy(to, from, bytes); });
  return Error::none;
}
std::uint64_t marks[kMarks];
Error mark(Queue*, std::int32_t number) {
  if (recording) return not_recorded("a wait");
  marks[number] = worker().added();
  return Error::none;
}
Error wait(Queue*, std::int32_t number, double seconds, std::int32_t* done) {
  *done = worker().wait(marks[number], seconds) ? 1 : 0;
  return Error::none;
}
// An address that no stream has: whoever queues on it is recorded all the same.
char recording_stream;
Error record(Queue*, void** stream) {
  if (recording) return not_recorded("a recording");
  recording = std::make_unique<Recording>();
  *stream = &recording_stream;
  return Error::none;
}
void forget(Queue*, Recording* r) {
  worker().add([r] { delete r; });
}
Error recorded(Queue* queue, Recording** to) {
  Recording* r = recording.release();
  if (to != nullptr) {
    *to = r;
  } else {
    forget(queue, r);
  }
  return Error::none;
}
Error pin(Queue*, std::size_t bytes, void** to) {
  *to = std::malloc(bytes);
  return *to != nullptr ? Error::none : fail(Error::out_of_memory, "out of host memory");
}
void unpin(void* address) { std::free(address); }
const char* message() { return last_message.c_str(); }

constexpr Backend kBackend = {
    kAbi,  sizeof(Backend), "emulated", count_devices, describe, locate,   open,
    close, allocate,        release,    enqueue,       upload,   download, mark,
    wait,  record,          recorded,   forget,        pin,      unpin,    message};

}  // namespace

extern "C" {

RITZ_API const Backend* ritz_device_backend(std::uint32_t abi);
const Backend* ritz_device_backend(std::uint32_t abi) { return abi == kAbi ? &kBackend : nullptr; }

/// Allocations so far, for tests that there are none.
RITZ_API std::uint64_t ritz_emulated_allocations();
std::uint64_t ritz_emulated_allocations() {
  const std::lock_guard lock(memory().mutex);
  return memory().allocations;
}

/// Products that RITZ_EMULATED_BLAS has made.
RITZ_API std::uint64_t ritz_emulated_products();
std::uint64_t ritz_emulated_products() { return products; }

/// For tests of what waits for what: see Worker::gate.
RITZ_API void ritz_emulated_gate(bool shut);
void ritz_emulated_gate(bool shut) { worker().gate(shut); }

}  // extern "C"

}  // namespace ritz::device
