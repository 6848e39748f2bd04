/* A program in C99 that uses nothing but ritz.h. c_program() returns the line of the first check
 * that failed, or 0. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "ritz/ritz.h"

int c_program(void);

#define EXPECT(condition)              \
  do {                                 \
    if (!(condition)) return __LINE__; \
  } while (0)

enum { N = 50 };

/* The second difference on a line, shifted by *ctx. */
static int tridiagonal(void* ctx, const void* x, int64_t ldx, void* y, int64_t ldy, int64_t columns,
                       void* stream) {
  const double shift = *(const double*)ctx;
  int64_t j, i;
  if (stream != NULL) return 1;
  for (j = 0; j < columns; ++j) {
    const double* in = (const double*)x + j * ldx;
    double* out = (double*)y + j * ldy;
    for (i = 0; i < N; ++i) {
      out[i] = (2.0 + shift) * in[i] - (i > 0 ? in[i - 1] : 0.0) - (i + 1 < N ? in[i + 1] : 0.0);
    }
  }
  return 0;
}

static int halve(void* ctx, const void* x, int64_t ldx, void* y, int64_t ldy, int64_t columns,
                 void* stream) {
  int64_t j, i;
  (void)ctx;
  (void)stream;
  for (j = 0; j < columns; ++j) {
    for (i = 0; i < N; ++i) {
      ((double*)y)[j * ldy + i] = 0.5 * ((const double*)x)[j * ldx + i];
    }
  }
  return 0;
}

struct watch {
  int calls, stop_at;
};

static int observe(void* ctx, const ritz_iteration* now) {
  struct watch* w = (struct watch*)ctx;
  ++w->calls;
  return now->iteration == w->stop_at;
}

/* y = b0 exp(b1 t) at t = 0, 0.1, … */
enum { M = 11 };
struct exponential {
  double t[M], y[M], b[2];
};

static int evaluate(void* ctx, const void* x, void* z) {
  const struct exponential* e = (const struct exponential*)ctx;
  const double* b = (const double*)x;
  int i;
  for (i = 0; i < M; ++i) ((double*)z)[i] = b[0] * exp(b[1] * e->t[i]) - e->y[i];
  return 0;
}
static int linearize(void* ctx, const void* x) {
  memcpy(((struct exponential*)ctx)->b, x, 2 * sizeof(double));
  return 0;
}
static int jvp(void* ctx, const void* v, void* out) {
  const struct exponential* e = (const struct exponential*)ctx;
  const double* d = (const double*)v;
  int i;
  for (i = 0; i < M; ++i) {
    ((double*)out)[i] = exp(e->b[1] * e->t[i]) * (d[0] + e->b[0] * e->t[i] * d[1]);
  }
  return 0;
}
static int vjp(void* ctx, const void* u, void* out) {
  const struct exponential* e = (const struct exponential*)ctx;
  double* g = (double*)out;
  int i;
  g[0] = g[1] = 0.0;
  for (i = 0; i < M; ++i) {
    const double f = exp(e->b[1] * e->t[i]) * ((const double*)u)[i];
    g[0] += f;
    g[1] += e->b[0] * e->t[i] * f;
  }
  return 0;
}

int c_program(void) {
  double b[N], x[N], shift = 0.1;
  int i;
  ritz_operator A, preconditioner;
  ritz_report report;
  ritz_cg_options options;
  ritz_lsmr_options lsmr;
  struct watch w = {0, 0};

  EXPECT(ritz_abi_version() == 1);
  ritz_operator_init(&A);
  EXPECT(A.size == sizeof A && A.dtype == RITZ_FLOAT64 && A.apply == NULL);
  A.rows = A.cols = N;
  A.apply = A.apply_adjoint = tridiagonal;
  A.ctx = &shift;
  for (i = 0; i < N; ++i) b[i] = sin(1.0 + i);

  ritz_report_init(&report);
  EXPECT(ritz_cg(&A, NULL, b, x, NULL, &report) == RITZ_CONVERGED);
  EXPECT(ritz_last_error()[0] == '\0');
  EXPECT(report.verified == 1);
  EXPECT(report.products == report.iterations + 1);
  EXPECT(report.residual <= report.target);
  EXPECT(report.seconds >= 0.0);
  {
    double r[N], sum = 0.0, norm_b = 0.0;
    tridiagonal(&shift, x, N, r, N, 1, NULL);
    for (i = 0; i < N; ++i) {
      sum += (b[i] - r[i]) * (b[i] - r[i]);
      norm_b += b[i] * b[i];
    }
    EXPECT(sqrt(sum) <= 1.0001e-5 * sqrt(norm_b));
  }

  preconditioner = A;
  preconditioner.apply = halve;
  ritz_cg_options_init(&options);
  options.rtol = 1e-10;
  options.observe = observe;
  options.observe_ctx = &w;
  EXPECT(ritz_cg(&A, &preconditioner, b, x, &options, &report) == RITZ_CONVERGED);
  EXPECT(w.calls == report.iterations);
  w.stop_at = 3;
  EXPECT(ritz_cg(&A, NULL, b, x, &options, &report) == RITZ_STOPPED);
  EXPECT(report.iterations == 3);
  EXPECT(strlen(ritz_status_advice(RITZ_STOPPED)) > 0);

  ritz_lsmr_options_init(&lsmr);
  lsmr.damp = 0.5;
  lsmr.atol = lsmr.btol = 1e-9;
  EXPECT(ritz_lsmr(&A, b, x, &lsmr, &report) == RITZ_CONVERGED);
  EXPECT(report.adjoint_products >= report.iterations);

  {
    struct exponential e;
    double p[2] = {1.0, 0.0};
    ritz_model f;
    ritz_least_squares_options ls;
    for (i = 0; i < M; ++i) {
      e.t[i] = 0.1 * i;
      e.y[i] = 2.0 * exp(-1.5 * e.t[i]);
    }
    ritz_model_init(&f);
    f.outputs = M;
    f.parameters = 2;
    f.ctx = &e;
    f.evaluate = evaluate;
    f.linearize = linearize;
    f.jvp = jvp;
    f.vjp = vjp;
    ritz_least_squares_options_init(&ls);
    EXPECT(ritz_least_squares(&f, p, &ls, &report) == RITZ_CONVERGED);
    EXPECT(fabs(p[0] - 2.0) < 1e-7 && fabs(p[1] + 1.5) < 1e-7);
    EXPECT(report.objective < 1e-14);
  }
  return 0;
}
