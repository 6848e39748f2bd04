// What a method on a batch of small systems asks of a space beyond vectors: operations on all
// systems at once, each with coefficients of its own that stay where they were computed.
//
// A system is a column of every block. On the host its step consists of the operations of the
// space, so that it has the same bits as a run on it alone; on a device one kernel makes the steps
// of all systems, a block of threads each. Systems lie in one process whole: no sum of theirs is
// taken over ranks.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include "ritz/core/threads.hpp"
#include "ritz/space/batch_state.hpp"
#include "ritz/space/concept.hpp"
#include "ritz/space/cuda.hpp"
#include "ritz/space/host.hpp"

namespace ritz {

/// What conjugate gradients on a batch work on. P, Q and R have no gaps between their columns.
template <Field T>
struct CgBatchData {
  BlockView<T> X, P, Q, R;
  BlockView<const T> D;  ///< the diagonals of M; without columns, M = I
  BatchState state;
  Index limit = 0;  ///< iterations of each system
};

/// Calls body(k) for all systems; those of a host space share its threads.
template <class S, class Body>
void for_each_system(const S&, Index count, Index, const Body& body) {
  for (Index k = 0; k < count; ++k) body(k);
}
template <Field T, class Body>
void for_each_system(const HostSpace<T>&, Index count, Index elements, const Body& body) {
  threads::for_each_part(count, elements, body);
}

// ---- spaces whose scalars are numbers of the host ----

/// For each claimed system: r = b, or b − q if `subtract`; p = z = d ∘ r, ρ = Re rᴴz and ‖r‖.
template <class S>
  requires(S::kReadsAreFree)
void cg_batch_start(S& space, BlockView<const typename S::Value> B, bool subtract,
                    const CgBatchData<typename S::Value>& w) {
  const BatchState& state = w.state;
  for_each_system(space, B.cols, 3 * B.rows * B.cols, [&](Index k) {
    if (state.status()[k] != BatchState::kClaimed) return;
    const auto r = w.R.column(k), p = w.P.column(k);
    space.copy(B.column(k), r);
    const double rr = subtract ? space.axpy_norm2(-1.0, w.Q.column(k), r) : space.norm2(r);
    if (w.D.cols > 0) {
      space.multiply(w.D.column(k), r, p);
      state.rho()[k] = space.real_dot(r, p);
    } else {
      space.copy(r, p);
      state.rho()[k] = space.norm2(r);
    }
    state.residual()[k] = std::sqrt(rr);
  });
}

/// The step of `cg_batch_step` for system k alone.
template <class S>
  requires(S::kReadsAreFree)
void cg_batch_step_of(S& space, const CgBatchData<typename S::Value>& w, Index k) {
  const BatchState& state = w.state;
  const bool preconditioned = w.D.cols > 0;
  if (state.status()[k] != BatchState::kRunning) return;
  const auto p = w.P.column(k), q = w.Q.column(k), r = w.R.column(k);
  const double rho = state.rho()[k], pq = space.real_dot(p, q);
  if (!BatchState::curved(pq)) return state.end_uncurved(k, pq);
  const double alpha = rho / pq, rr = space.axpy_norm2(-alpha, q, r), residual = std::sqrt(rr);
  double next = rr;
  if (preconditioned) {
    space.multiply(w.D.column(k), r, q);
    next = space.real_dot(r, q);
  }
  if (!BatchState::usable(residual, next)) return state.end_unusable(k, residual, next);
  space.axpy_xpby(alpha, p, w.X.column(k), next / rho, preconditioned ? q : r);
  state.advance(k, residual, next, w.limit);
}

/// For each running system, with q = A p: α = ρ/pᴴq, x += αp, r −= αq, z = d ∘ r, ρ' = Re rᴴz,
/// p = z + (ρ'/ρ) p. A system that cannot go on keeps its x, and one that has met its target or
/// its limit changes nothing any more. Q is overwritten.
template <class S>
  requires(S::kReadsAreFree)
void cg_batch_step(S& space, const CgBatchData<typename S::Value>& w) {
  for_each_system(space, w.X.cols, 10 * w.X.rows * w.X.cols,
                  [&](Index k) { cg_batch_step_of(space, w, k); });
}

template <class S>
  requires(S::kReadsAreFree)
void read_numbers(S&, const double* from, std::span<double> to) {
  std::copy_n(from, to.size(), to.data());
}
template <class S>
  requires(S::kReadsAreFree)
void write_numbers(S&, double* to, std::span<const double> from) {
  std::copy(from.begin(), from.end(), to);
}

// ---- devices ----

namespace detail {

template <Field T>
device::Call batch_call(device::Kernel kernel, Index n, const BatchState& state) {
  device::Call call{};
  call.kernel = kernel;
  call.element = device::element_of<T>;
  call.n = n;
  call.cols = state.count;
  call.out[0] = state.start;
  return call;
}
template <Field T>
void* address(BlockView<const T> V) {
  return V.cols > 0 ? const_cast<T*>(V.data) : nullptr;
}

}  // namespace detail

template <Field T>
void cg_batch_start(CudaSpace<T>& space, BlockView<const T> B, bool subtract,
                    const CgBatchData<T>& w) {
  device::Call call = detail::batch_call<T>(device::Kernel::cg_batch_start, B.rows, w.state);
  call.ld = B.ld;
  call.ld2 = w.D.ld;
  call.v[0] = detail::address(B);
  call.v[1] = subtract ? w.Q.data : nullptr;
  call.v[2] = w.R.data;
  call.v[3] = w.P.data;
  call.v[4] = detail::address(w.D);
  space.queue().call(call);
}
template <Field T>
void cg_batch_step(CudaSpace<T>& space, const CgBatchData<T>& w) {
  device::Call call = detail::batch_call<T>(device::Kernel::cg_batch, w.X.rows, w.state);
  call.ld = w.X.ld;
  call.ld2 = w.D.ld;
  call.cols2 = w.limit;
  call.v[0] = w.P.data;
  call.v[1] = w.Q.data;
  call.v[2] = w.R.data;
  call.v[3] = w.X.data;
  call.v[4] = detail::address(w.D);
  space.queue().call(call);
}
template <Field T>
void read_numbers(CudaSpace<T>& space, const double* from, std::span<double> to) {
  space.queue().read(from, to.data(), to.size());
}
template <Field T>
void write_numbers(CudaSpace<T>& space, double* to, std::span<const double> from) {
  space.queue().upload(to, from.data(), from.size_bytes());
}

/// A space that has these operations.
template <class S>
concept BatchSpace = Space<S> && requires(S& s, BlockView<const typename S::Value> B,
                                          const CgBatchData<typename S::Value>& w, double* numbers,
                                          std::span<double> values, std::span<const double> given) {
  cg_batch_start(s, B, true, w);
  cg_batch_step(s, w);
  read_numbers(s, numbers, values);
  write_numbers(s, numbers, given);
};

}  // namespace ritz
