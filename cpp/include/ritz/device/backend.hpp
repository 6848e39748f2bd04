// What the library asks of a device: kernels by name, their arguments as plain data.
//
// A backend is a plugin that exports one function, `ritz_device_backend`. Of the methods it knows
// the scalar recurrences alone (krylov/recurrences.hpp), and the library contains no symbol of the
// device's runtime. Everything a kernel needs is in one Call, so that a sequence of calls can be
// compared with another, and a sequence seen before replayed as a graph.
#pragma once

#include <cstddef>
#include <string>

#include "ritz/core/types.hpp"

namespace ritz::device {

/// Changes with any of the structures below.
inline constexpr std::uint32_t kAbi = 3;

enum class Element : std::int32_t { f4, f8, c8, c16 };
template <Field T>
constexpr Element element_of = std::same_as<T, float>                 ? Element::f4
                               : std::same_as<T, double>              ? Element::f8
                               : std::same_as<T, std::complex<float>> ? Element::c8
                                                                      : Element::c16;

/// Work that was recorded, to be run any number of times; the backend's.
struct Recording;

/// Elementwise kernels work on v[0], v[1], … of n elements with coefficients c[0], c[1], …, as the
/// operations of the same names do (see space/concept.hpp) with their arguments in that order;
/// those that end in a sum write it to out[0]. The others:
///
///   dots               c[k] unused; vᴴ[2k] v[2k + 1] to out[k], for k < cols
///   cast               v[1] of `other` elements = v[0]
///   multi_shift        r = v[0], X = v[1], P = v[2] of `cols` columns, ld and ld2 apart;
///                      a = h[0], b = h[1], z = h[2]
///   project            cols coefficients v[0]ᴴ v[1] to out[0], columns of v[0] ld apart
///   subtract_project   v[1] −= v[0] h[0] with all `cols` columns, then v[0]ᴴ v[1] to out[0]
///   subtract_columns   v[1] −= v[0] h[0], ‖v[1]‖² to out[0]
///   axpy_columns       v[1] += v[0] h[0]
///   project_block      v[0]ᴴ v[1], cols × cols2, by columns to out[0]; ld and ld2 apart
///   subtract_block     v[1] −= v[0] h[0] for cols2 columns of v[1]
///   combine            the first cols2 columns of v[0] = v[0] S for S = h[0] of cols × cols2,
///                      its columns ld2 apart
///   csr                v[4] = A v[3], A in compressed rows: starts v[0] and indices v[1] of
///                      Index, values v[2]; `cols` columns of v[3] and v[4], ld and ld2 apart
///
/// Those on batches, of `cols` systems of n unknowns with their BatchState at out[0] (see
/// space/batch.hpp); columns of a workspace are n apart, and a null v[4] stands for ones:
///
///   cg_batch_start     r = v[2] and p = v[3] of the claimed systems from b = v[0], ld apart,
///                      q = v[1] or null for zero, and diagonals v[4], ld2 apart
///   cg_batch           one step of the running systems: p = v[0], q = v[1], r = v[2], x = v[3],
///                      ld apart, diagonals v[4], ld2 apart; at most cols2 iterations of each
///   dense_batch        v[2] = A v[1], ld and ld2 apart, for the systems whose number at h[0] is
///                      c[0].re, all if h[0] is null; their matrices v[0] by rows
///
///   recurrence         one step of the recurrence numbered `cols` (krylov/recurrences.hpp), phase
///                      `ld`, with the sums at h[k]; its scalars, two doubles each, at out[0]
///   recording          runs the Recording v[0], whose number is `seed`; nothing freezes it
enum class Kernel : std::int32_t {
  copy,
  fill,
  scale,
  axpby,
  axpby_norm2,
  add3_norm2,
  axpy_xpby,
  step3,
  update3,
  rotate2,
  dot,
  real_dot,
  norm2,
  dots,
  multiply,
  multiply_add,
  multiply_add_conjugate,
  add_squares,
  reciprocal,
  cast,
  random_signs,
  random_uniform,
  random_normal,
  multi_shift,
  project,
  subtract_project,
  subtract_columns,
  axpy_columns,
  project_block,
  subtract_block,
  combine,
  csr,
  recurrence,
  recording,
  cg_batch_start,
  cg_batch,
  dense_batch,
  count
};

/// (re + i im) above / below, the last two two doubles in device memory; 1 where one is null.
struct Coefficient {
  double re = 0.0, im = 0.0;
  const double* above = nullptr;
  const double* below = nullptr;
};

/// Once *x ≤ bound, a kernel changes no vector, and its sums are *x instead. Null guards nothing.
struct Guard {
  const double* x = nullptr;
  double bound = 0.0;
};

/// No padding, so that calls compare by their bytes.
struct Call {
  Kernel kernel{};
  Element element{};
  Element other{};
  std::int32_t reserved = 0;
  Index n = 0;
  Index cols = 0, ld = 0;
  Index cols2 = 0, ld2 = 0;
  void* v[8] = {};
  Coefficient c[4];
  const double* h[3] = {};
  double* out[4] = {};  ///< two doubles for a sum, WideOf<T> for each of an array
  Guard guard;
  std::uint64_t seed = 0, stream = 0;
};

/// What `describe` tells of a device.
struct Description {
  char name[128] = {};
  std::int32_t major = 0, minor = 0;  ///< compute capability
  std::int32_t processors = 0;
  std::int32_t runtime = 0, driver = 0;  ///< as the vendor numbers them: 13000 is 13.0
  std::uint64_t memory = 0;              ///< bytes
};

enum class Error : std::int32_t { none, out_of_memory, unavailable, failed };

/// Work queued on one stream of one device; the backend's.
struct Queue;
inline constexpr std::int32_t kMarks = 16;

/// Every function returns an Error; `message` explains the last one of the calling thread.
struct Backend {
  std::uint32_t abi = kAbi;
  std::uint32_t size = sizeof(Backend);
  const char* name = nullptr;

  Error (*count)(std::int32_t* devices) = nullptr;
  Error (*describe)(std::int32_t device, Description* to) = nullptr;
  /// The device whose memory an address is in, −1 for memory of the host.
  Error (*locate)(const void* address, std::int32_t* device) = nullptr;
  /// On a stream of the caller's; null is the default stream.
  Error (*open)(std::int32_t device, void* stream, Queue** to) = nullptr;
  /// Waits until everything queued is done.
  void (*close)(Queue*) = nullptr;

  /// In the order of the queue: memory released may still be used by what was queued before.
  Error (*allocate)(Queue*, std::size_t bytes, void** to) = nullptr;
  void (*release)(Queue*, void* memory) = nullptr;

  Error (*enqueue)(Queue*, const Call* calls, std::size_t count) = nullptr;
  /// `from` may change once this has returned.
  Error (*upload)(Queue*, void* to, const void* from, std::size_t bytes) = nullptr;
  /// Queued; `to` holds the bytes once `wait` has said so.
  Error (*download)(Queue*, void* to, const void* from, std::size_t bytes) = nullptr;
  /// Notes the present end of the queue under a number below kMarks.
  Error (*mark)(Queue*, std::int32_t number) = nullptr;
  /// Waits until what was queued before a mark is done, but not much longer than `seconds`; then
  /// `done` is 1, or 0.
  Error (*wait)(Queue*, std::int32_t number, double seconds, std::int32_t* done) = nullptr;
  /// What is queued from now on, by `enqueue` or by anybody on `stream`, is recorded instead of
  /// run. Memory may be allocated and released meanwhile; other functions fail.
  Error (*record)(Queue*, void** stream) = nullptr;
  /// The end of it; forgets what was recorded if `to` is null.
  Error (*recorded)(Queue*, Recording** to) = nullptr;
  void (*forget)(Queue*, Recording*) = nullptr;
  /// Memory of the host that `download` writes to without a copy in between.
  Error (*pin)(Queue*, std::size_t bytes, void** to) = nullptr;
  void (*unpin)(void* memory) = nullptr;

  const char* (*message)() = nullptr;
};

/// The exported function: null if the plugin speaks another version of this header.
using BackendGet = const Backend* (*)(std::uint32_t abi);
inline constexpr const char* kBackendSymbol = "ritz_device_backend";

/// The backend in use: the library named by the environment variable RITZ_CUDA_LIBRARY, or else
/// libritz_cuda.so beside this library, opened at the first call. Throws DeviceUnavailable with the
/// reason, which stays the same until the end of the process.
RITZ_API const Backend& backend();

}  // namespace ritz::device
