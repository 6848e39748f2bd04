// What a method may ask of the place where its vectors live.
//
// A space names fused operations on vectors; it owns no vector and knows no algorithm. The results
// of reductions (Scalar, Real) stay where they were computed: numbers on the host, slots in device
// memory on a GPU. A method passes them back as coefficients, formed by `ratio` and unary minus,
// and never looks at one except through `read`, which is the only synchronisation there is. So the
// same text of a method runs on a device without visiting the host inside its loop.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <utility>

#include "ritz/core/types.hpp"
#include "ritz/core/view.hpp"
#include "ritz/space/recurrence.hpp"

namespace ritz {

/// Where random fills come from: element i of stream s is a function of (seed, s, i) only.
struct RandomKey {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;
};

/// Host coefficients are numbers; a device space overloads this for its slots.
inline double ratio(double a, double b) { return a / b; }
inline std::complex<double> ratio(std::complex<double> a, std::complex<double> b) { return a / b; }

/// x, y, r, p, w: vectors; V, S: column blocks.
///
/// `Slots` are consecutive reduced scalars in the space's memory, which `Arena::slots` makes. To a
/// method they are a handle: it may take `first(k)`, `subspan(i, k)` and `size()` of them, hand
/// them to operations, and copy their values to the host by `read`; it never looks into them, nor
/// writes. Operations write reduced scalars into Slots (g and h of `project`, `project_block` and
/// `subtract_project`). Where they take coefficients, one for each column of V, these are Slots or
/// numbers on the host, `std::span<const WideOf<T>>`, as the method has them; the numbers are taken
/// before the operation returns.
///
///   copy(x, y)                  y = x
///   fill(a, x)                  x = a
///   scale(a, x)                 x = a x
///   axpby(a, x, b, y)           y = a x + b y                    (b = 0 overwrites, even NaN)
///   dot(x, y)                   xᴴy
///   real_dot(x, y)              Re xᴴy
///   dots({{x,y},…})             all xᴴy in one pass and one allreduce
///   norm2(x)                    ‖x‖²
///   axpby_norm2(a, x, b, y)     y = a x + b y, returns ‖y‖²      (b = 0 overwrites)
///   axpy_norm2(a, x, y)         y = a x + y, returns ‖y‖²
///   add3_norm2(a, x, b, y, c, z)   z = a x + b y + c z, returns ‖z‖²
///                               (b = 0 does not read y, c = 0 overwrites)
///   axpy_xpby(a, p, x, b, r)    x = x + a p, p = r + b p
///   step3(a, v, b, w, c, u, d, x)   w = a v + b w + c u, x = x + d w
///                               (b = 0 overwrites w, c = 0 does not read u)
///   update3(a, g, b, x, c, v, d, h)   g = h + a g, x = x + b g, h = c v + d h, returns ‖x‖²
///   rotate2(c, s, x, y)         (x, y) = (c x + s y, −s̄ x + c y), c real
///   multi_shift(a, b, z, r, X, P)     per column j: X_j += a_j P_j, P_j = z_j r + b_j P_j
///   project(V, w, h)            h = Vᴴw
///   subtract_project(V, h, w, g)      w = w − V h, g = Vᴴw, in one sweep
///   subtract_norm2(V, h, w)     w = w − V h, returns ‖w‖²
///   axpy_columns(V, h, y)       y = y + V h
///   project_block(V, W, h)      H = VᴴW, column by column in h
///   subtract_block(V, h, W)     W = W − V H, likewise
///   combine(V, S)               the first S.cols columns of V become V S; S is on the host
///   norm2_slots(h)              Σ|h_i|²
///   multiply(d, x, y)           y = d ∘ x
///   multiply_add(a, d, x, y)    y = y + a d ∘ x
///   multiply_add_conjugate(a, d, x, y)   y = y + a d ∘ x̄
///   add_squares(a, x, y)        y = y + a |x|²  (elementwise)
///   reciprocal(x, y)            y = 1 / x, and 1 where x = 0
///   cast(x, y)                  y = x in the other precision of the same field
///   random_signs(key, x)        ±1 with equal probability
///   random_uniform(key, x)      uniform in (−1, 1), both parts when complex
///   random_normal(key, x)       standard normals: E |x|² = 1, parts independent when complex
///   freeze_below(x, bound)      until `thaw`, operations do nothing once x ≤ bound, and reductions
///                               give that x, so that a device may run past a convergence that the
///                               host reads late; a space whose reads are free does nothing but
///                               tell whether x ≤ bound, the others return false
///   read(x)                     the value of a Scalar or Real: the only synchronisation
///   read(h, values)             the values of slots, likewise, into numbers on the host
///
/// Scalars with formulas of their own are kept in the space (see recurrence.hpp): each is a Real of
/// the name kept[&R::scalar], or a Scalar if it may be complex, and a step changes them in place
/// unless the space is frozen.
///
///   keep(r)                     a recurrence that starts as r
///   advance(kept, phase, x, …)  one step of it with the values of the Reals x, and of Scalars if
///   it
///                               has complex numbers
///   assign(kept, r)             kept = r
///   read(kept)                  it as it is now, another synchronisation
template <class S>
concept Space =
    requires(S& s, VectorView<typename S::Value> x, VectorView<const typename S::Value> cx,
             BlockView<typename S::Value> V, BlockView<const typename S::Value> cV,
             BlockView<const WideOf<typename S::Value>> small, typename S::Coefficient a,
             typename S::Slots h, std::span<const WideOf<typename S::Value>> numbers,
             std::span<WideOf<typename S::Value>> values, std::size_t count, typename S::Real r,
             RandomKey key) {
      typename S::Value;
      typename S::Scalar;
      typename S::Real;
      typename S::Coefficient;
      typename S::Buffer;
      requires std::semiregular<typename S::Slots>;
      requires std::constructible_from<typename S::Slots, WideOf<typename S::Value>*, std::size_t>;
      { h.first(count) } -> std::same_as<typename S::Slots>;
      { h.subspan(count, count) } -> std::same_as<typename S::Slots>;
      { h.size() } -> std::same_as<std::size_t>;
      { S::kReadsAreFree } -> std::convertible_to<bool>;
      s.copy(cx, x);
      s.fill(a, x);
      s.scale(a, x);
      s.axpby(a, cx, a, x);
      { s.dot(cx, cx) } -> std::same_as<typename S::Scalar>;
      { s.real_dot(cx, cx) } -> std::same_as<typename S::Real>;
      { s.norm2(cx) } -> std::same_as<typename S::Real>;
      { s.norm2_slots(h) } -> std::same_as<typename S::Real>;
      { s.axpby_norm2(a, cx, a, x) } -> std::same_as<typename S::Real>;
      { s.axpy_norm2(a, cx, x) } -> std::same_as<typename S::Real>;
      { s.add3_norm2(a, cx, a, cx, a, x) } -> std::same_as<typename S::Real>;
      s.axpy_xpby(a, x, x, a, cx);
      s.step3(a, cx, a, x, a, cx, a, x);
      { s.update3(a, x, a, x, a, cx, a, x) } -> std::same_as<typename S::Real>;
      s.rotate2(a, a, x, x);
      s.multi_shift(h, h, h, cx, V, V);
      s.multi_shift(numbers, numbers, numbers, cx, V, V);
      s.project(cV, cx, h);
      s.subtract_project(cV, h, x, h);
      s.subtract_project(cV, numbers, x, h);
      { s.subtract_norm2(cV, h, x) } -> std::same_as<typename S::Real>;
      { s.subtract_norm2(cV, numbers, x) } -> std::same_as<typename S::Real>;
      s.axpy_columns(cV, h, x);
      s.axpy_columns(cV, numbers, x);
      s.project_block(cV, cV, h);
      s.subtract_block(cV, h, V);
      s.subtract_block(cV, numbers, V);
      s.combine(V, small);
      s.multiply(cx, cx, x);
      s.multiply_add(a, cx, cx, x);
      s.multiply_add_conjugate(a, cx, cx, x);
      s.add_squares(a, cx, x);
      s.reciprocal(cx, x);
      s.random_signs(key, x);
      s.random_uniform(key, x);
      s.random_normal(key, x);
      { s.freeze_below(r, 0.0) } -> std::same_as<bool>;
      s.thaw();
      { s.read(r) } -> std::convertible_to<double>;
      s.read(h, values);
      { s.allocate(std::size_t{}) } -> std::same_as<typename S::Buffer>;
    };

}  // namespace ritz
