/* A linear solve from C: the tridiagonal matrix [-1 2.5 -1] given by a callback, with the context
 * carrying its size, and an observer that counts iterations. */
#include <math.h>
#include <stdio.h>

#include "ritz/ritz.h"

enum { N = 1000 };

static int tridiagonal(void* ctx, const void* x, int64_t ldx, void* y, int64_t ldy, int64_t columns,
                       void* stream) {
  const int64_t n = *(const int64_t*)ctx;
  (void)stream;
  for (int64_t j = 0; j < columns; ++j) {
    const double* u = (const double*)x + j * ldx;
    double* v = (double*)y + j * ldy;
    for (int64_t i = 0; i < n; ++i) {
      v[i] = 2.5 * u[i] - (i > 0 ? u[i - 1] : 0.0) - (i + 1 < n ? u[i + 1] : 0.0);
    }
  }
  return 0;
}

static int count(void* ctx, const ritz_iteration* now) {
  *(int64_t*)ctx = now->iteration;
  return 0;
}

int main(void) {
  static double b[N], x[N], residual[N];
  int64_t n = N, seen = 0;
  for (int i = 0; i < N; ++i) b[i] = sin(0.01 * i);

  ritz_operator A;
  ritz_operator_init(&A);
  A.rows = A.cols = n;
  A.ctx = &n;
  A.apply = tridiagonal;

  ritz_cg_options options;
  ritz_cg_options_init(&options);
  options.rtol = 1e-10;
  options.observe = count;
  options.observe_ctx = &seen;

  ritz_report report;
  ritz_report_init(&report);
  const ritz_status status = ritz_cg(&A, NULL, b, x, &options, &report);
  if (status < 0) {
    fprintf(stderr, "ritz_cg: %s\n", ritz_last_error());
    return 1;
  }
  printf("status %d (%s)\niterations %lld, products %lld, residual %.2e <= %.2e\n", (int)status,
         ritz_status_advice(status), (long long)report.iterations, (long long)report.products,
         report.residual, report.target);

  double worst = 0.0;
  tridiagonal(&n, x, n, residual, n, 1, NULL);
  for (int i = 0; i < N; ++i) worst = fmax(worst, fabs(b[i] - residual[i]));
  return status == RITZ_CONVERGED && worst < 1e-8 && seen == report.iterations ? 0 : 1;
}
