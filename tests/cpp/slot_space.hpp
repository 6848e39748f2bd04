// A space that behaves like a device: reduced scalars, single ones and rows of them, are handles of
// slots that no host code can look into, coefficients are formed lazily from them, every read is
// counted, and freezing freezes.
#pragma once

#include <array>
#include <complex>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>

#include "ritz/space/reference.hpp"

namespace ritz::testing {

template <Field T>
class SlotSpace {
  struct Device;

 public:
  /// Names a slot; not a number, and never converts to one.
  template <class V>
  class Slot {
   public:
    friend class SlotSpace;
    friend auto ratio(const Slot& a, const Slot& b) { return Coefficient(a, b); }

   private:
    Slot(std::shared_ptr<Device> device, std::uint64_t serial)
        : device_(std::move(device)), serial_(serial) {}
    Slot(std::shared_ptr<Device> device, std::shared_ptr<const double> place)
        : device_(std::move(device)), place_(std::move(place)) {}
    WideOf<T> load() const {
      if (!place_) return device_->load(serial_);
      if constexpr (std::same_as<V, std::complex<double>>) {
        return {place_.get()[0], place_.get()[1]};
      } else {
        return WideOf<T>(*place_);
      }
    }

    std::shared_ptr<Device> device_;
    std::uint64_t serial_ = 0;
    std::shared_ptr<const double> place_;  // of a scalar that is kept
  };

  using Value = T;
  using Scalar = Slot<WideOf<T>>;
  struct RealTag;
  using Real = Slot<RealTag>;
  using Buffer = std::shared_ptr<void>;
  static constexpr bool kReadsAreFree = false;

  /// A host number, or sign · a / b of two slots, or a slot's, evaluated when an operation runs.
  class Coefficient {
   public:
    Coefficient(double value) : constant_(value) {}
    Coefficient(std::complex<double> value)
      requires ComplexField<T>
        : constant_(value) {}
    template <class V>
    Coefficient(const Slot<V>& a, const Slot<V>& b)
        : value_([a, b] { return a.load() / b.load(); }) {}
    template <class V>
    Coefficient(const Slot<V>& a) : value_([a] { return a.load(); }) {}
    friend Coefficient operator-(Coefficient c) {
      c.constant_ = -c.constant_;
      return c;
    }

   private:
    friend class SlotSpace;
    WideOf<T> constant_{1.0};
    std::function<WideOf<T>()> value_;
  };

  /// A recurrence in the device's memory.
  template <Recurrence R>
  class Kept {
   public:
    Real operator[](double R::* scalar) const { return {device_, at(now_.get()->*scalar)}; }
    Real operator[](PaddedReal R::* scalar) const {
      return {device_, at((now_.get()->*scalar).value)};
    }
    Scalar operator[](device::Complex<double> R::* scalar) const {
      return {device_, at((now_.get()->*scalar).re)};
    }

   private:
    friend class SlotSpace;
    std::shared_ptr<const double> at(const double& place) const { return {now_, &place}; }
    std::shared_ptr<Device> device_;
    std::shared_ptr<R> now_;
    R seen_;
  };
  template <Recurrence R>
  Kept<R> keep(const R& start) {
    Kept<R> kept;
    kept.device_ = device_;
    kept.now_ = std::make_shared<R>(start);
    return kept;
  }
  template <Recurrence R>
  void assign(Kept<R>& kept, const R& to) {
    *kept.now_ = to;
  }
  template <Recurrence R>
  const R& read(Kept<R>& kept) {
    ++device_->reads;
    return kept.seen_ = *kept.now_;
  }
  template <Recurrence R, class... Sums>
    requires((std::same_as<Sums, Real> || !std::same_as<NumberOf<R>, double>) && ...)
  void advance(Kept<R>& kept, int phase, const Sums&... sums) {
    if (frozen()) return;
    if constexpr (std::same_as<NumberOf<R>, double>) {
      kept.now_->template step<HostMath>(phase, {std::real(sums.load())...});
    } else {
      kept.now_->template step<HostMath>(phase, {to_number(sums.load())...});
    }
  }

  /// Consecutive slots.
  class Slots {
   public:
    Slots() = default;
    Slots(WideOf<T>* start, std::size_t count) : memory_(start, count) {}
    std::size_t size() const { return memory_.size(); }
    Slots first(std::size_t count) const { return Slots(memory_.first(count)); }
    Slots subspan(std::size_t from, std::size_t count) const {
      return Slots(memory_.subspan(from, count));
    }

   private:
    friend class SlotSpace;
    explicit Slots(std::span<WideOf<T>> memory) : memory_(memory) {}
    std::span<WideOf<T>> memory_;
  };

  /// What operations read: slots, or numbers of the host.
  class Coefficients {
   public:
    Coefficients(Slots slots) : values_(slots.memory_) {}
    template <class Numbers>
      requires std::convertible_to<const Numbers&, std::span<const WideOf<T>>>
    Coefficients(const Numbers& numbers) : values_(numbers) {}

   private:
    friend class SlotSpace;
    std::span<const WideOf<T>> values_;
  };

  Index reads() const { return device_->reads; }
  bool frozen() const {
    const auto& guard = device_->guard;
    if (guard && std::real(guard->load()) <= device_->bound) device_->frozen = guard->load();
    return device_->frozen.has_value();
  }

  Buffer allocate(std::size_t bytes) { return host_.allocate(bytes); }

  double read(const Real& slot) {
    ++device_->reads;
    return std::real(slot.load());
  }
  WideOf<T> read(const Scalar& slot) {
    ++device_->reads;
    return slot.load();
  }
  void read(Slots h, std::span<WideOf<T>> values) {
    ++device_->reads;
    host_.read(h.memory_, values);
  }
  bool freeze_below(const Real& slot, double bound) {
    if (frozen()) return false;
    device_->guard.reset();
    if (slot.place_) {  // changes in place
      device_->guard = slot;
      device_->bound = bound;
    } else if (std::real(slot.load()) <= bound) {
      device_->frozen = slot.load();
    }
    return false;
  }
  void thaw() {
    device_->guard.reset();
    device_->frozen.reset();
  }

  using View = VectorView<T>;
  using ConstView = VectorView<const T>;
  using C = const Coefficient&;
  void copy(ConstView x, View y) {
    if (!frozen()) host_.copy(x, y);
  }
  void fill(C a, View x) {
    if (!frozen()) host_.fill(value(a), x);
  }
  void scale(C a, View x) {
    if (!frozen()) host_.scale(value(a), x);
  }
  void axpby(C a, ConstView x, C b, View y) {
    if (!frozen()) host_.axpby(value(a), x, value(b), y);
  }
  Scalar dot(ConstView x, ConstView y) {
    return reduce<WideOf<T>>([&] { return host_.dot(x, y); });
  }
  Real real_dot(ConstView x, ConstView y) {
    return reduce<RealTag>([&] { return host_.real_dot(x, y); });
  }
  Real norm2(ConstView x) {
    return reduce<RealTag>([&] { return host_.norm2(x); });
  }
  Real norm2_slots(Slots h) {
    return reduce<RealTag>([&] { return host_.norm2_slots(h.memory_); });
  }
  struct Pair {
    ConstView x, y;
  };
  template <std::size_t K>
  std::array<Scalar, K> dots(const Pair (&pairs)[K]) {
    return [&]<std::size_t... k>(std::index_sequence<k...>) {
      return std::array<Scalar, K>{dot(pairs[k].x, pairs[k].y)...};
    }(std::make_index_sequence<K>{});
  }
  Real axpby_norm2(C a, ConstView x, C b, View y) {
    return reduce<RealTag>([&] { return host_.axpby_norm2(value(a), x, value(b), y); });
  }
  Real axpy_norm2(C a, ConstView x, View y) {
    return reduce<RealTag>([&] { return host_.axpy_norm2(value(a), x, y); });
  }
  Real add3_norm2(C a, ConstView x, C b, ConstView y, C c, View z) {
    return reduce<RealTag>([&] { return host_.add3_norm2(value(a), x, value(b), y, value(c), z); });
  }
  void axpy_xpby(C a, View p, View x, C b, ConstView r) {
    if (!frozen()) host_.axpy_xpby(value(a), p, x, value(b), r);
  }
  void step3(C a, ConstView v, C b, View w, C c, ConstView u, C d, View x) {
    if (!frozen()) host_.step3(value(a), v, value(b), w, value(c), u, value(d), x);
  }
  Real update3(C a, View g, C b, View x, C c, ConstView v, C d, View h) {
    return reduce<RealTag>(
        [&] { return host_.update3(value(a), g, value(b), x, value(c), v, value(d), h); });
  }
  void rotate2(C c, C s, View x, View y) {
    if (!frozen()) host_.rotate2(value(c), value(s), x, y);
  }
  void multi_shift(Coefficients a, Coefficients b, Coefficients z, ConstView r, BlockView<T> X,
                   BlockView<T> P) {
    if (!frozen()) host_.multi_shift(a.values_, b.values_, z.values_, r, X, P);
  }
  void project(BlockView<const T> V, ConstView w, Slots h) {
    if (!frozen()) host_.project(V, w, h.memory_);
  }
  void subtract_project(BlockView<const T> V, Coefficients h, View w, Slots g) {
    if (!frozen()) host_.subtract_project(V, h.values_, w, g.memory_);
  }
  Real subtract_norm2(BlockView<const T> V, Coefficients h, View w) {
    return reduce<RealTag>([&] { return host_.subtract_norm2(V, h.values_, w); });
  }
  void axpy_columns(BlockView<const T> V, Coefficients h, View y) {
    if (!frozen()) host_.axpy_columns(V, h.values_, y);
  }
  void project_block(BlockView<const T> V, BlockView<const T> W, Slots h) {
    if (!frozen()) host_.project_block(V, W, h.memory_);
  }
  void subtract_block(BlockView<const T> V, Coefficients h, BlockView<T> W) {
    if (!frozen()) host_.subtract_block(V, h.values_, W);
  }
  void combine(BlockView<T> V, BlockView<const WideOf<T>> S) {
    if (!frozen()) host_.combine(V, S);
  }
  void multiply(ConstView d, ConstView x, View y) {
    if (!frozen()) host_.multiply(d, x, y);
  }
  void multiply_add(C a, ConstView d, ConstView x, View y) {
    if (!frozen()) host_.multiply_add(value(a), d, x, y);
  }
  void multiply_add_conjugate(C a, ConstView d, ConstView x, View y) {
    if (!frozen()) host_.multiply_add_conjugate(value(a), d, x, y);
  }
  void add_squares(C a, ConstView x, View y) {
    if (!frozen()) host_.add_squares(value(a), x, y);
  }
  void reciprocal(ConstView x, View y) {
    if (!frozen()) host_.reciprocal(x, y);
  }
  template <Field U>
    requires(ComplexField<U> == ComplexField<T>)
  void cast(ConstView x, VectorView<U> y) {
    if (!frozen()) host_.cast(x, y);
  }
  void random_signs(RandomKey key, View x) {
    if (!frozen()) host_.random_signs(key, x);
  }
  void random_uniform(RandomKey key, View x) {
    if (!frozen()) host_.random_uniform(key, x);
  }
  void random_normal(RandomKey key, View x) {
    if (!frozen()) host_.random_normal(key, x);
  }

 private:
  // Few slots, used in turn: a method that keeps one for too long finds it overwritten.
  static constexpr std::uint64_t kSlots = 8;
  struct Device {
    std::array<WideOf<T>, kSlots> memory{};
    std::uint64_t next = 0;
    std::optional<WideOf<T>> frozen;
    std::optional<Real> guard;
    double bound = 0.0;
    Index reads = 0;

    WideOf<T> load(std::uint64_t serial) const {
      if (serial + kSlots < next) throw std::logic_error("a slot was kept for too long");
      return memory[serial % kSlots];
    }
  };

  template <class V, class F>
  Slot<V> reduce(F f) {
    const WideOf<T> result = frozen() ? *device_->frozen : WideOf<T>(f());
    device_->memory[device_->next % kSlots] = result;
    return {device_, device_->next++};
  }
  WideOf<T> value(C c) const { return c.value_ ? c.constant_ * c.value_() : c.constant_; }

  ReferenceSpace<T> host_;
  std::shared_ptr<Device> device_ = std::make_shared<Device>();
};

}  // namespace ritz::testing
