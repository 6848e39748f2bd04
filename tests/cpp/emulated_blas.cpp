// What the plugin calls of cuBLAS, on memory of the host and with its rules: written from its
// documentation, not from cpp/cuda/blas.hpp.
#include <complex>
#include <cstddef>
#include <cstdint>

namespace {

// NOLINTBEGIN: cuBLAS's own names
using cublasStatus_t = int;
constexpr cublasStatus_t CUBLAS_STATUS_SUCCESS = 0, CUBLAS_STATUS_NOT_INITIALIZED = 1,
                         CUBLAS_STATUS_INVALID_VALUE = 7;
using cublasOperation_t = int;
constexpr cublasOperation_t CUBLAS_OP_N = 0, CUBLAS_OP_T = 1, CUBLAS_OP_C = 2;
// NOLINTEND

struct Context {
  bool stream = false, workspace = false;
};

double conjugate(double x) { return x; }
std::complex<double> conjugate(std::complex<double> x) { return std::conj(x); }

template <class E>
bool aligned(const E* p) {
  return reinterpret_cast<std::uintptr_t>(p) % sizeof(E) == 0;
}

/// C = alpha op(A) op(B) + beta C, m × n; C is not read if beta is zero.
template <class E>
cublasStatus_t gemm(const Context* context, cublasOperation_t a, cublasOperation_t b,
                    std::int64_t m, std::int64_t n, std::int64_t k, const E* alpha, const E* A,
                    std::int64_t lda, const E* B, std::int64_t ldb, const E* beta, E* C,
                    std::int64_t ldc) {
  if (context == nullptr || !context->stream || !context->workspace) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  const auto known = [](cublasOperation_t o) {
    return o == CUBLAS_OP_N || o == CUBLAS_OP_T || o == CUBLAS_OP_C;
  };
  const auto high = [](std::int64_t ld, std::int64_t rows) { return ld >= (rows > 1 ? rows : 1); };
  if (!known(a) || !known(b) || m < 0 || n < 0 || k < 0 || !high(lda, a == CUBLAS_OP_N ? m : k) ||
      !high(ldb, b == CUBLAS_OP_N ? k : n) || !high(ldc, m) || !aligned(alpha) || !aligned(beta) ||
      !aligned(A) || !aligned(B) || !aligned(C)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const auto element = [](cublasOperation_t o, const E* X, std::int64_t ld, std::int64_t i,
                          std::int64_t j) {
    return o == CUBLAS_OP_N   ? X[i + j * ld]
           : o == CUBLAS_OP_T ? X[j + i * ld]
                              : conjugate(X[j + i * ld]);
  };
  for (std::int64_t j = 0; j < n; ++j) {
    for (std::int64_t i = 0; i < m; ++i) {
      E sum{};
      for (std::int64_t l = 0; l < k; ++l)
        sum += element(a, A, lda, i, l) * element(b, B, ldb, l, j);
      E& c = C[i + j * ldc];
      c = *beta == E{} ? *alpha * sum : *alpha * sum + *beta * c;
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

extern "C" {

#pragma GCC visibility push(default)

cublasStatus_t cublasCreate_v2(Context** to);
cublasStatus_t cublasCreate_v2(Context** to) {
  *to = new Context;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(Context* context);
cublasStatus_t cublasDestroy_v2(Context* context) {
  delete context;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream_v2(Context* context, void* stream);
cublasStatus_t cublasSetStream_v2(Context* context, void*) {
  context->stream = true;
  context->workspace = false;  // back to the default one
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace_v2(Context* context, void* memory, std::size_t bytes);
cublasStatus_t cublasSetWorkspace_v2(Context* context, void* memory, std::size_t bytes) {
  if (memory == nullptr || bytes == 0 || reinterpret_cast<std::uintptr_t>(memory) % 256 != 0) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  context->workspace = true;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDgemm_v2_64(Context*, cublasOperation_t, cublasOperation_t, std::int64_t,
                                 std::int64_t, std::int64_t, const double*, const double*,
                                 std::int64_t, const double*, std::int64_t, const double*, double*,
                                 std::int64_t);
cublasStatus_t cublasDgemm_v2_64(Context* context, cublasOperation_t a, cublasOperation_t b,
                                 std::int64_t m, std::int64_t n, std::int64_t k,
                                 const double* alpha, const double* A, std::int64_t lda,
                                 const double* B, std::int64_t ldb, const double* beta, double* C,
                                 std::int64_t ldc) {
  return gemm(context, a, b, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
}
using Z = std::complex<double>;
cublasStatus_t cublasZgemm_v2_64(Context*, cublasOperation_t, cublasOperation_t, std::int64_t,
                                 std::int64_t, std::int64_t, const Z*, const Z*, std::int64_t,
                                 const Z*, std::int64_t, const Z*, Z*, std::int64_t);
cublasStatus_t cublasZgemm_v2_64(Context* context, cublasOperation_t a, cublasOperation_t b,
                                 std::int64_t m, std::int64_t n, std::int64_t k, const Z* alpha,
                                 const Z* A, std::int64_t lda, const Z* B, std::int64_t ldb,
                                 const Z* beta, Z* C, std::int64_t ldc) {
  return gemm(context, a, b, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
}

#pragma GCC visibility pop

}  // extern "C"
