// The loops that move the bytes of a HostSpace, as tables of functions: one table for each field
// and each instruction set level.
#pragma once

#include <span>
#include <string_view>
#include <type_traits>

#include "ritz/core/types.hpp"
#include "ritz/space/concept.hpp"

namespace ritz {

/// Instruction set levels of x86-64 as its ABI supplement names them: SSE2; AVX2 with FMA;
/// AVX-512. Other processors have `base` alone.
enum class Isa { base, v3, v4 };

}  // namespace ritz

namespace ritz::kernels {

/// Columns that one call of a panel kernel takes: their running sums, or their coefficients and
/// pointers, fill the registers of every level.
inline constexpr Index kPanelColumns = 8;

/// Columns of a strip of a packed matrix of precision R: 128 bytes, two registers at the most.
template <class R>
inline constexpr Index kStrip = 128 / sizeof(R);

/// Counters of Philox whose first words are the rows that a sparse sketch draws first, whose second
/// words are the next, and so on; up to the height a row takes 31 bits, above it 63.
inline constexpr Index kRowCounters = 32, kNarrowHeight = Index{1} << 16;

/// Loops over n contiguous elements. Sums and coefficients are in double precision; elementwise
/// results are computed in the vectors' own. Two vectors of a call are the same or do not overlap.
template <Field T>
struct KernelTable {
  using Wide = WideOf<T>;
  /// What `cast` converts to: the other precision of the same field.
  using Other = std::conditional_t<
      ComplexField<T>,
      std::conditional_t<std::same_as<RealOf<T>, float>, std::complex<double>, std::complex<float>>,
      std::conditional_t<std::same_as<RealOf<T>, float>, double, float>>;

  /// y = a x
  void (*scaled_copy)(Index n, Wide a, const T* x, T* y);
  /// y = a x, returns ‖y‖²
  double (*scaled_copy_norm2)(Index n, Wide a, const T* x, T* y);
  /// y = a x + b y
  void (*axpby)(Index n, Wide a, const T* x, Wide b, T* y);
  /// y = a x + b y, returns ‖y‖²
  double (*axpby_norm2)(Index n, Wide a, const T* x, Wide b, T* y);
  /// z = a x + b y + c z, returns ‖z‖²; does not read z if c = 0
  double (*add3_norm2)(Index n, Wide a, const T* x, Wide b, const T* y, Wide c, T* z);
  /// x = x + a p, p = r + b p
  void (*axpy_xpby)(Index n, Wide a, T* p, T* x, Wide b, const T* r);
  /// w = a v + b w + c u, x = x + d w; does not read w if b = 0, nor u if c = 0
  void (*step3)(Index n, Wide a, const T* v, Wide b, T* w, Wide c, const T* u, Wide d, T* x);
  /// g = h + a g, x = x + b g, h = c v + d h, returns ‖x‖²
  double (*update3)(Index n, Wide a, T* g, Wide b, T* x, Wide c, const T* v, Wide d, T* h);
  /// (x, y) = (c x + s y, −s̄ x + c y)
  void (*rotate2)(Index n, double c, Wide s, T* x, T* y);
  /// x = x + a p, p = z r + b p
  void (*shift_step)(Index n, Wide a, Wide b, Wide z, const T* r, T* x, T* p);

  /// xᴴy
  Wide (*dot)(Index n, const T* x, const T* y);
  /// Re xᴴy
  double (*real_dot)(Index n, const T* x, const T* y);
  /// ‖x‖²
  double (*norm2)(Index n, const T* x);

  // V: `cols` ≤ kPanelColumns columns of n elements, `ld` apart.
  /// sums += Vᴴ w
  void (*project)(Index n, Index cols, const T* V, Index ld, const T* w, Wide* sums);
  /// sums += Vᵀ w
  void (*project_transpose)(Index n, Index cols, const T* V, Index ld, const T* w, Wide* sums);
  /// y = y + V h
  void (*add_columns)(Index n, Index cols, const T* V, Index ld, const Wide* h, T* y);
  /// y = y + V̄ h
  void (*add_conjugate_columns)(Index n, Index cols, const T* V, Index ld, const Wide* h, T* y);
  /// V = A S, A of n × k and S of k × cols with leading dimensions lda and lds
  void (*combine)(Index n, Index k, const T* A, Index lda, const Wide* S, Index lds, Index cols,
                  T* V, Index ld);

  /// y = d ∘ x
  void (*multiply)(Index n, const T* d, const T* x, T* y);
  /// y = y + a d ∘ x
  void (*multiply_add)(Index n, Wide a, const T* d, const T* x, T* y);
  /// y = y + a |x|²
  void (*add_squares)(Index n, Wide a, const T* x, T* y);
  /// y = 1 / x, and 1 where x = 0
  void (*reciprocal)(Index n, const T* x, T* y);
  /// y = x
  void (*cast)(Index n, const T* x, Other* y);

  // Elements first … first + n − 1 of a random stream, as sketch/philox.hpp defines them.
  void (*random_signs)(RandomKey key, Index first, Index n, T* x);
  void (*random_uniform)(RandomKey key, Index first, Index n, T* x);

  void (*random_normal)(RandomKey key, Index first, Index n, T* x);
  /// The same times `scale` for a sketch, in single precision from 31 bits and 32
  void (*sketch_normal)(RandomKey key, Index first, Index n, double scale, T* x);
  /// `scale` times the random signs
  void (*sketch_signs)(RandomKey key, Index first, Index n, double scale, T* x);

  // A: strips of kStrip columns one after the other, each by rows, the real parts of a row before
  // the imaginary ones. sums: `rows` rows, `width` doubles apart, of as many strips.
  /// sums += S A, element (r, k) of S at S[r row_stride + k inner_stride]
  void (*tile_product)(Index rows, Index inner, const T* S, Index row_stride, Index inner_stride,
                       Index cols, const RealOf<T>* A, Index width, double* sums);
  /// sums += S̄ A
  void (*adjoint_tile_product)(Index rows, Index inner, const T* S, Index row_stride,
                               Index inner_stride, Index cols, const RealOf<T>* A, Index width,
                               double* sums);

  // V: `k` columns of n elements, `ldv` apart; H and the sums: k × cols.
  /// sums += Vᴴ W
  void (*project_block)(Index n, Index k, const T* V, Index ldv, Index cols, const T* W, Index ldw,
                        Wide* sums, Index lds);
  /// sums += Vᵀ W
  void (*project_block_transpose)(Index n, Index k, const T* V, Index ldv, Index cols, const T* W,
                                  Index ldw, Wide* sums, Index lds);
  /// Y = Y + a V H
  void (*add_product)(Index n, Index k, double a, const T* V, Index ldv, const Wide* H, Index ldh,
                      Index cols, T* Y, Index ldy);
  /// Y = Y + a V̄ H
  void (*add_conjugate_product)(Index n, Index k, double a, const T* V, Index ldv, const Wide* H,
                                Index ldh, Index cols, T* Y, Index ldy);

  // An entry of a sparse sketch is row · 2 + sign, and that of element t of column k is
  // entries[t ld + k]. Rows have `width` numbers and begin `lda` apart in a, `width` in the sums.
  /// random_rows of sketch/random_rows.hpp for groups of kRowCounters counters
  void (*random_row_groups)(RandomKey key, Index first, Index groups, Index height, Index start,
                            Index* entries);
  /// sums[row] ±= a[k] for `heads` elements of `count` columns
  void (*scatter_rows)(Index count, Index heads, const Index* entries, Index ld, Index width,
                       const RealOf<T>* a, Index lda, double* sums);
  /// sums[k] ±= a[row], likewise
  void (*gather_rows)(Index count, Index heads, const Index* entries, Index ld, Index width,
                      const RealOf<T>* a, Index lda, double* sums);

  // Walsh–Hadamard transforms along columns, in the order of Sylvester, without a factor.
  /// x = H x for a power of two of rows of `width` elements each, one after the other
  void (*hadamard)(Index rows, Index width, T* x);
  /// x = H x for 2^bits rows of `width` elements each, `ld` apart; bits ≤ 3
  void (*hadamard_step)(int bits, Index width, Index ld, T* x);
};

struct Tables {
  KernelTable<float> f32;
  KernelTable<double> f64;
  KernelTable<std::complex<float>> c64;
  KernelTable<std::complex<double>> c128;

  template <Field T>
  const KernelTable<T>& of() const {
    if constexpr (std::same_as<T, float>) return f32;
    if constexpr (std::same_as<T, double>) return f64;
    if constexpr (std::same_as<T, std::complex<float>>) return c64;
    if constexpr (std::same_as<T, std::complex<double>>) return c128;
  }
};

/// The levels that this processor supports, lowest first.
RITZ_API std::span<const Isa> supported_isas();

/// The highest level that this processor supports, or what RITZ_ISA (base, v3 or v4) says. Chosen
/// once. Throws InvalidArgument if RITZ_ISA names a level that is unknown or not supported.
RITZ_API Isa default_isa();

RITZ_API std::string_view name(Isa isa);

/// Throws InvalidArgument if this processor does not support the level.
RITZ_API const Tables& tables(Isa isa);

}  // namespace ritz::kernels
