#include "stencil.hpp"

__global__ void laplacian(int side, const double* u, double* y) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int j = blockIdx.y * blockDim.y + threadIdx.y;
  if (i >= side || j >= side) return;
  const long k = static_cast<long>(j) * side + i;
  double sum = 4.0 * u[k];
  if (i > 0) sum -= u[k - 1];
  if (i + 1 < side) sum -= u[k + 1];
  if (j > 0) sum -= u[k - side];
  if (j + 1 < side) sum -= u[k + side];
  y[k] = sum;
}

void apply_laplacian(int side, const double* u, double* y, void* stream) {
  const dim3 threads(32, 8);
  const unsigned across = (static_cast<unsigned>(side) + 31) / 32;
  const unsigned down = (static_cast<unsigned>(side) + 7) / 8;
  laplacian<<<dim3(across, down), threads, 0, static_cast<cudaStream_t>(stream)>>>(side, u, y);
}
