// The 5-point Laplacian of a square grid, on a device.
#pragma once

/// y = L u for u and y of side² elements in device memory, queued on a cudaStream_t.
void apply_laplacian(int side, const double* u, double* y, void* stream);
