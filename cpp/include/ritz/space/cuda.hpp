// Vectors in the memory of a device, worked on by its kernels without the host in between.
//
// Reduced scalars stay in device memory, coefficients are formed from them where they are used, and
// no operation waits: only `read` does. The kernels come from a backend (device/backend.hpp), so
// this header needs no CUDA and compiles everywhere. Sums are added up in an order that depends on
// sizes and device alone, and for wide blocks in double precision on the BLAS that the backend may
// have: the same bits every time.
#pragma once

#include <algorithm>

#include "ritz/core/error.hpp"
#include "ritz/device/queue.hpp"
#include "ritz/space/concept.hpp"

namespace ritz {

template <class V>
class DeviceScalar;

/// A number formed on the device: (re + i im) above / below.
class DeviceCoefficient {
 public:
  DeviceCoefficient(double value) : re_(value) {}
  DeviceCoefficient(std::complex<double> value) : re_(value.real()), im_(value.imag()) {}
  DeviceCoefficient(device::Slot above, device::Slot below)
      : re_(1.0), above_(std::move(above)), below_(std::move(below)) {}
  template <class V>
  DeviceCoefficient(const DeviceScalar<V>& value) : re_(1.0), above_(value.slot) {}

  friend DeviceCoefficient operator-(DeviceCoefficient c) {
    c.re_ = -c.re_;
    c.im_ = -c.im_;
    return c;
  }
  device::Coefficient to_call() const { return {re_, im_, above_.address(), below_.address()}; }

 private:
  double re_, im_ = 0.0;
  device::Slot above_, below_;
};

/// A reduced scalar of type V in device memory.
template <class V>
class DeviceScalar {
 public:
  explicit DeviceScalar(device::DeviceQueue& queue) : slot(queue) {}
  explicit DeviceScalar(device::Slot named) : slot(std::move(named)) {}
  friend DeviceCoefficient ratio(const DeviceScalar& a, const DeviceScalar& b) {
    return {a.slot, b.slot};
  }
  device::Slot slot;
};

/// Consecutive reduced scalars in device memory, which the host cannot look into.
template <class V>
class DeviceSlots {
 public:
  DeviceSlots() = default;
  DeviceSlots(V* start, std::size_t count) : start_(start), count_(count) {}
  DeviceSlots first(std::size_t count) const { return {start_, count}; }
  DeviceSlots subspan(std::size_t start, std::size_t count) const {
    return {start_ + start, count};
  }
  std::size_t size() const { return count_; }
  double* address() const { return reinterpret_cast<double*>(start_); }

 private:
  V* start_ = nullptr;
  std::size_t count_ = 0;
};

/// A recurrence in device memory, and what the host has last seen of it.
template <class Real, class Scalar, Recurrence R>
class DeviceKept {
 public:
  DeviceKept(device::DeviceQueue& queue, const R& start)
      : queue_(&queue), slots_(queue, kDoubles / 2), seen_(start) {
    if constexpr (!requires { R::kStartsItself; }) assign(start);
  }
  Real operator[](double R::* scalar) const { return Real(slot(scalar)); }
  Real operator[](PaddedReal R::* scalar) const { return Real(slot(scalar)); }
  Scalar operator[](device::Complex<double> R::* scalar) const { return Scalar(slot(scalar)); }

  double* address() const { return slots_.address(); }
  void assign(const R& to) {
    double doubles[kDoubles] = {};
    const auto* scalars = reinterpret_cast<const double*>(&to);
    for (std::size_t k = 0; k < kCount; ++k) doubles[kStride * k] = scalars[k];
    queue_->upload(address(), doubles, sizeof(doubles));
    seen_ = to;
  }
  const R& read() {
    double doubles[kDoubles];
    queue_->read(address(), doubles, kDoubles);
    return take(doubles);
  }
  device::DeviceQueue::Stretch stretch() const { return {address(), kDoubles}; }
  /// What lay there.
  const R& take(const double* doubles) {
    auto* scalars = reinterpret_cast<double*>(&seen_);
    for (std::size_t k = 0; k < kCount; ++k) scalars[k] = doubles[kStride * k];
    return seen_;
  }

 private:
  // The second double of a slot is zero where the numbers are real.
  static constexpr std::size_t kCount = sizeof(R) / sizeof(double), kStride = kSlotStride<R>;
  static constexpr std::size_t kDoubles = kStride * kCount;

  template <class V>
  device::Slot slot(V R::* scalar) const {
    static_assert(sizeof(V) == sizeof(NumberOf<R>));
    const auto* first = reinterpret_cast<const V*>(&seen_);
    return slots_[&(seen_.*scalar) - first];
  }

  device::DeviceQueue* queue_;
  device::SlotRun slots_;
  R seen_;
};

/// A handle: copies work on the same queue, each with a freeze of its own.
template <Field T>
class CudaSpace {
 public:
  using Value = T;
  using Wide = WideOf<T>;
  struct RealTag;
  using Scalar = DeviceScalar<Wide>;
  using Real = DeviceScalar<RealTag>;
  using Coefficient = DeviceCoefficient;
  using Slots = DeviceSlots<Wide>;
  using Buffer = std::shared_ptr<void>;
  static constexpr bool kReadsAreFree = false;

  explicit CudaSpace(std::shared_ptr<device::DeviceQueue> queue) : queue_(std::move(queue)) {}
  explicit CudaSpace(std::int32_t device, void* stream = nullptr)
      : CudaSpace(device::DeviceQueue::of(device, stream)) {}

  device::DeviceQueue& queue() const { return *queue_; }
  Buffer allocate(std::size_t bytes) { return queue_->allocate(bytes); }

  double read(const Real& x) {
    double value;
    queue_->read(x.slot.address(), &value, 1);
    return value;
  }
  Wide read(const Scalar& x) {
    Wide value;
    queue_->read(x.slot.address(), reinterpret_cast<double*>(&value), kDoubles);
    return value;
  }
  void read(Slots h, std::span<Wide> values) {
    if (h.size() == 0) return;
    queue_->read(h.address(), reinterpret_cast<double*>(values.data()), h.size() * kDoubles);
  }
  using Question = device::Question;
  /// Answered later with what `read` of these would give here: the device goes on while the host
  /// looks.
  template <std::same_as<Real>... R>
  Question ask(const R&... x) {
    const device::DeviceQueue::Stretch slots[] = {{x.slot.address(), 1}...};
    return queue_->ask(slots);
  }
  /// Later calls change nothing once x ≤ bound; until `thaw`, bound is the same every time.
  bool freeze_below(const Real& x, double bound) {
    frozen_ = x.slot;
    bound_ = bound;
    return false;
  }
  void thaw() { frozen_ = {}; }

  // ---- recurrences ----

  template <Recurrence R>
  using Kept = DeviceKept<Real, Scalar, R>;
  template <Recurrence R>
  Kept<R> keep(const R& start) {
    return {*queue_, start};
  }
  template <Recurrence R>
  void assign(Kept<R>& kept, const R& to) {
    kept.assign(to);
  }
  template <Recurrence R>
  const R& read(Kept<R>& kept) {
    return kept.read();
  }
  /// Likewise a recurrence, and slots with it.
  template <Recurrence R>
  Question ask(const Kept<R>& kept, Slots h = {}) {
    const device::DeviceQueue::Stretch all[] = {kept.stretch(), {h.address(), h.size() * kDoubles}};
    return queue_->ask(all);
  }
  template <Recurrence R>
  const R& answer(const Question& question, Kept<R>& kept, std::span<Wide> h = {}) {
    const double* doubles = question.answer();
    const auto* rest = reinterpret_cast<const Wide*>(doubles + kept.stretch().doubles);
    std::copy_n(rest, h.size(), h.begin());
    return kept.take(doubles);
  }
  template <Recurrence R, class... Sums>
    requires(sizeof...(Sums) <= kStepSums &&
             ((std::same_as<Sums, Real> || !std::same_as<NumberOf<R>, double>) && ...))
  void advance(Kept<R>& kept, int phase, const Sums&... sums) {
    Call call = of(Kernel::recurrence, 0);
    call.element = device::Element::f8;
    call.cols = R::kNumber;
    call.ld = phase;
    call.out[0] = kept.address();
    std::size_t k = 0;
    ((call.h[k++] = sums.slot.address()), ...);
    queue_->call(call);
  }

  using View = VectorView<T>;
  using ConstView = VectorView<const T>;
  using C = const Coefficient&;

  // ---- updates ----

  void copy(ConstView x, View y) {
    if (x.data != y.data) elementwise(Kernel::copy, {}, x, y);
  }
  void fill(C a, View x) { elementwise(Kernel::fill, {&a}, x); }
  void scale(C a, View x) { elementwise(Kernel::scale, {&a}, x); }
  void axpby(C a, ConstView x, C b, View y) { elementwise(Kernel::axpby, {&a, &b}, x, y); }
  void axpy_xpby(C a, View p, View x, C b, ConstView r) {
    elementwise(Kernel::axpy_xpby, {&a, &b}, p, x, r);
  }
  void step3(C a, ConstView v, C b, View w, C c, ConstView u, C d, View x) {
    elementwise(Kernel::step3, {&a, &b, &c, &d}, v, w, u, x);
  }
  Real update3(C a, View g, C b, View x, C c, ConstView v, C d, View h) {
    return sum<Real>(Kernel::update3, {&a, &b, &c, &d}, g, x, v, h);
  }
  void rotate2(C c, C s, View x, View y) { elementwise(Kernel::rotate2, {&c, &s}, x, y); }
  template <class A, class B, class Z>
  void multi_shift(const A& a, const B& b, const Z& z, ConstView r, BlockView<T> X,
                   BlockView<T> P) {
    if (X.cols == 0) return;
    Call call = of(Kernel::multi_shift, r.size);
    call.h[0] = given(a, X.cols, 0);
    call.h[1] = given(b, X.cols, 1);
    call.h[2] = given(z, X.cols, 2);
    call.cols = X.cols;
    call.ld = X.ld;
    call.ld2 = P.ld;
    vectors(call, r, X, P);
    queue_->call(call);
  }

  // ---- reductions ----

  Scalar dot(ConstView x, ConstView y) { return sum<Scalar>(Kernel::dot, {}, x, y); }
  Real real_dot(ConstView x, ConstView y) { return sum<Real>(Kernel::real_dot, {}, x, y); }
  Real norm2(ConstView x) { return sum<Real>(Kernel::norm2, {}, x); }

  Real norm2_slots(Slots h) {
    Real result(*queue_);
    Call call = of(Kernel::norm2, static_cast<Index>(h.size()));
    call.element = device::element_of<Wide>;
    call.v[0] = h.address();
    call.out[0] = result.slot.address();
    queue_->call(call);
    return result;
  }

  struct Pair {
    ConstView x, y;
  };
  template <std::size_t K>
    requires(K <= 4)
  std::array<Scalar, K> dots(const Pair (&pairs)[K]) {
    return [&]<std::size_t... k>(std::index_sequence<k...>) {
      std::array<Scalar, K> sums = {((void)k, Scalar(*queue_))...};
      Call call = of(Kernel::dots, pairs[0].x.size);
      call.cols = K;
      ((call.v[2 * k] = address(pairs[k].x), call.v[2 * k + 1] = address(pairs[k].y),
        call.out[k] = sums[k].slot.address()),
       ...);
      queue_->call(call);
      return sums;
    }(std::make_index_sequence<K>{});
  }

  Real axpby_norm2(C a, ConstView x, C b, View y) {
    return sum<Real>(Kernel::axpby_norm2, {&a, &b}, x, y);
  }
  Real axpy_norm2(C a, ConstView x, View y) { return axpby_norm2(a, x, 1.0, y); }
  Real add3_norm2(C a, ConstView x, C b, ConstView y, C c, View z) {
    return sum<Real>(Kernel::add3_norm2, {&a, &b, &c}, x, y, z);
  }

  // ---- blocks of columns ----

  void project(BlockView<const T> V, ConstView w, Slots h) {
    if (V.cols == 0) return;
    Call call = columns(Kernel::project, V, w);
    reduce(call, h, V.cols);
  }
  template <class H>
  void subtract_project(BlockView<const T> V, const H& h, View w, Slots g) {
    if (V.cols == 0) return;
    const double* coefficients = given(h, V.cols);
    Call call = columns(Kernel::subtract_project, V, w);
    call.h[0] = coefficients;
    reduce(call, g, V.cols);
  }
  template <class H>
  Real subtract_norm2(BlockView<const T> V, const H& h, View w) {
    const double* coefficients = given(h, V.cols);
    Real result(*queue_);
    Call call = columns(Kernel::subtract_columns, V, w);
    call.h[0] = coefficients;
    call.out[0] = result.slot.address();
    queue_->call(call);
    return result;
  }
  template <class H>
  void axpy_columns(BlockView<const T> V, const H& h, View y) {
    if (V.cols == 0) return;
    const double* coefficients = given(h, V.cols);
    Call call = columns(Kernel::axpy_columns, V, y);
    call.h[0] = coefficients;
    queue_->call(call);
  }
  void project_block(BlockView<const T> V, BlockView<const T> W, Slots h) {
    if (V.cols * W.cols == 0) return;
    Call call = columns(Kernel::project_block, V, W);
    reduce(call, h, V.cols * W.cols);
  }
  template <class H>
  void subtract_block(BlockView<const T> V, const H& h, BlockView<T> W) {
    if (V.cols * W.cols == 0) return;
    const double* coefficients = given(h, V.cols * W.cols);
    Call call = columns(Kernel::subtract_block, V, W);
    call.h[0] = coefficients;
    queue_->call(call);
  }
  void combine(BlockView<T> V, BlockView<const Wide> S) {
    if (S.cols == 0) return;
    const double* matrix =
        given(std::span<const Wide>(S.data, static_cast<std::size_t>((S.cols - 1) * S.ld + S.rows)),
              (S.cols - 1) * S.ld + S.rows);
    Call call = columns(Kernel::combine, V, as_vector(V));
    call.cols = S.rows;
    call.cols2 = S.cols;
    call.ld2 = S.ld;
    call.h[0] = matrix;
    queue_->call(call);
  }

  // ---- elementwise ----

  void multiply(ConstView d, ConstView x, View y) { elementwise(Kernel::multiply, {}, d, x, y); }
  void multiply_add(C a, ConstView d, ConstView x, View y) {
    elementwise(Kernel::multiply_add, {&a}, d, x, y);
  }
  void multiply_add_conjugate(C a, ConstView d, ConstView x, View y) {
    elementwise(Kernel::multiply_add_conjugate, {&a}, d, x, y);
  }
  void add_squares(C a, ConstView x, View y) { elementwise(Kernel::add_squares, {&a}, x, y); }
  void reciprocal(ConstView x, View y) { elementwise(Kernel::reciprocal, {}, x, y); }
  template <Field U>
    requires(ComplexField<U> == ComplexField<T>)
  void cast(ConstView x, VectorView<U> y) {
    if constexpr (std::same_as<U, T>) {
      copy(x, y);
    } else {
      Call call = of(Kernel::cast, x.size);
      call.other = device::element_of<U>;
      vectors(call, x, y);
      queue_->call(call);
    }
  }
  void random_signs(RandomKey key, View x) { random(Kernel::random_signs, key, x); }
  void random_uniform(RandomKey key, View x) { random(Kernel::random_uniform, key, x); }
  void random_normal(RandomKey key, View x) { random(Kernel::random_normal, key, x); }

 private:
  using Call = device::Call;
  using Kernel = device::Kernel;
  static constexpr std::size_t kDoubles = sizeof(Wide) / sizeof(double);

  /// Coefficients in device memory, for the next call.
  static const double* given(const Slots& h, Index, std::size_t = 0) { return h.address(); }
  const double* given(std::span<const Wide> h, Index count, std::size_t operand = 0) const {
    return queue_->send(operand, reinterpret_cast<const double*>(h.data()),
                        static_cast<std::size_t>(count) * kDoubles);
  }

  static void* address(ConstView x) { return const_cast<T*>(x.data); }
  template <class V>
  static void* address(const V& x) {
    return const_cast<void*>(static_cast<const void*>(x.data));
  }
  static ConstView as_vector(BlockView<T> V) { return {V.data, V.rows}; }
  template <class... V>
  static void vectors(Call& call, const V&... views) {
    Index k = 0;
    ((call.v[k++] = address(views)), ...);
  }

  Call of(Kernel kernel, Index n) const {
    Call call{};
    call.kernel = kernel;
    call.element = device::element_of<T>;
    call.n = n;
    if (frozen_.address() != nullptr) call.guard = {frozen_.address(), bound_};
    return call;
  }
  template <class... V>
  Call with(Kernel kernel, std::initializer_list<const Coefficient*> coefficients,
            const V&... views) const {
    Call call = of(kernel, std::max({views.size...}));
    std::size_t k = 0;
    for (const Coefficient* c : coefficients) call.c[k++] = c->to_call();
    vectors(call, views...);
    return call;
  }
  template <class... V>
  void elementwise(Kernel kernel, std::initializer_list<const Coefficient*> coefficients,
                   const V&... views) {
    queue_->call(with(kernel, coefficients, views...));
  }
  template <class Sum, class... V>
  Sum sum(Kernel kernel, std::initializer_list<const Coefficient*> coefficients,
          const V&... views) {
    Sum result(*queue_);
    Call call = with(kernel, coefficients, views...);
    call.out[0] = result.slot.address();
    queue_->call(call);
    return result;
  }
  Call columns(Kernel kernel, BlockView<const T> V, ConstView w) const {
    Call call = of(kernel, w.size);
    call.cols = V.cols;
    call.ld = V.ld;
    vectors(call, V, w);
    return call;
  }
  Call columns(Kernel kernel, BlockView<const T> V, BlockView<const T> W) const {
    Call call = columns(kernel, V, W.column(0));
    call.cols2 = W.cols;
    call.ld2 = W.ld;
    return call;
  }
  void reduce(Call& call, Slots h, Index count) {
    call.out[0] = h.address();
    queue_->call(call);
    queue_->announce(h.address(), static_cast<std::size_t>(count) * kDoubles);
  }
  void random(Kernel kernel, RandomKey key, View x) {
    Call call = of(kernel, x.size);
    call.seed = key.seed;
    call.stream = key.stream;
    vectors(call, x);
    queue_->call(call);
  }

  std::shared_ptr<device::DeviceQueue> queue_;
  device::Slot frozen_;
  double bound_ = 0.0;
};

}  // namespace ritz
