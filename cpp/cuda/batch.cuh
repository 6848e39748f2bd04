// The kernels on batches of small systems: a block of threads takes one system after another.
// Included by kernels.cuh.
#pragma once

#include "ritz/space/batch_state.hpp"

namespace ritz::device {

/// Sum over the block, in all of its threads.
__device__ inline double block_total(double sum) {
  __shared__ double total;
  sum = block_sum(sum);
  if (threadIdx.x == 0) total = sum;
  __syncthreads();
  return total;
}

/// d ∘ r for null that stands for ones.
template <class E>
__device__ E scaled(const E* d, Index i, E r) {
  return d != nullptr ? d[i] * r : r;
}
template <class E>
__device__ E* system_of(void* block, Index ld, Index k) {
  return block != nullptr ? static_cast<E*>(block) + k * ld : nullptr;
}

template <class E>
__global__ void __launch_bounds__(kThreads) cg_batch_start(const __grid_constant__ Arguments a) {
  const Call& s = a.call;
  if (stopped<double>(a)) return;
  const BatchState state{s.out[0], s.cols};
  for (Index k = blockIdx.x; k < s.cols; k += gridDim.x) {
    if (state.status()[k] != BatchState::kClaimed) continue;
    const E *b = system_of<E>(s.v[0], s.ld, k), *q = system_of<E>(s.v[1], s.n, k);
    const E* d = system_of<E>(s.v[4], s.ld2, k);
    E *r = system_of<E>(s.v[2], s.n, k), *p = system_of<E>(s.v[3], s.n, k);
    double rr = 0.0, rho = 0.0;
    for (Index i = threadIdx.x; i < s.n; i += kThreads) {
      const E residual = q != nullptr ? b[i] - q[i] : b[i];
      r[i] = residual;
      p[i] = scaled(d, i, residual);
      rr += square(residual);
      rho += real_part(product(residual, p[i]));
    }
    rr = block_total(rr);
    rho = block_total(rho);
    if (threadIdx.x != 0) continue;
    state.residual()[k] = DeviceMath::sqrt(rr);
    state.rho()[k] = rho;
  }
}

template <class E>
__global__ void __launch_bounds__(kThreads) cg_batch(const __grid_constant__ Arguments a) {
  using W = WideElement<E>;
  const Call& s = a.call;
  if (stopped<double>(a)) return;
  const BatchState state{s.out[0], s.cols};
  for (Index k = blockIdx.x; k < s.cols; k += gridDim.x) {
    if (state.status()[k] != BatchState::kRunning) continue;
    const double rho = state.rho()[k];
    E *p = system_of<E>(s.v[0], s.n, k), *r = system_of<E>(s.v[2], s.n, k);
    E* x = system_of<E>(s.v[3], s.ld, k);
    const E *q = system_of<E>(s.v[1], s.n, k), *d = system_of<E>(s.v[4], s.ld2, k);

    double pq = 0.0;
    for (Index i = threadIdx.x; i < s.n; i += kThreads) pq += real_part(product(p[i], q[i]));
    pq = block_total(pq);
    if (!BatchState::curved(pq)) {
      if (threadIdx.x == 0) state.end_uncurved(k, pq);
      continue;
    }
    const E alpha = narrow<E>(W(rho / pq));
    double rr = 0.0, next = 0.0;
    for (Index i = threadIdx.x; i < s.n; i += kThreads) {
      const E residual = r[i] - alpha * q[i];
      r[i] = residual;
      rr += square(residual);
      if (d != nullptr) next += real_part(product(residual, d[i] * residual));
    }
    rr = block_total(rr);
    next = d != nullptr ? block_total(next) : rr;
    const double norm = DeviceMath::sqrt(rr);
    if (!BatchState::usable(norm, next)) {
      if (threadIdx.x == 0) state.end_unusable(k, norm, next);
      continue;
    }
    const E beta = narrow<E>(W(next / rho));
    for (Index i = threadIdx.x; i < s.n; i += kThreads) {
      x[i] = x[i] + alpha * p[i];
      p[i] = scaled(d, i, r[i]) + beta * p[i];
    }
    if (threadIdx.x == 0) state.advance(k, norm, next, s.cols2);
  }
}

/// A warp a row.
template <class E>
__global__ void __launch_bounds__(kThreads) dense_batch(const __grid_constant__ Arguments a) {
  using W = WideElement<E>;
  const Call& s = a.call;
  if (stopped<double>(a)) return;
  const BatchSelection selected{s.h[0], s.c[0].re};
  const Index lane = threadIdx.x % 32;
  for (Index k = blockIdx.x; k < s.cols; k += gridDim.x) {
    if (!selected.has(k)) continue;
    const E* x = system_of<E>(s.v[1], s.ld, k);
    E* y = system_of<E>(s.v[2], s.ld2, k);
    for (Index i = threadIdx.x / 32; i < s.n; i += kThreads / 32) {
      const E* row = system_of<E>(s.v[0], s.n * s.n, k) + i * s.n;
      W sum{};
      for (Index j = lane; j < s.n; j += 32) sum += widen(row[j]) * widen(x[j]);
      sum = warp_sum(sum);
      if (lane == 0) y[i] = narrow<E>(sum);
    }
  }
}

}  // namespace ritz::device
