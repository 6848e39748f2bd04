/* The C interface of ritz: Krylov solvers and Gauss-Newton over callbacks, on host memory.
 *
 * Structs begin with their own size, so that they can grow without breaking programs: set it with
 * the *_init function, which also fills in every default. Sizes are int64_t. Callbacks return 0, or
 * anything else to fail; a failed callback ends the run with RITZ_CALLBACK_FAILED. No function
 * throws or prints; ritz_last_error() says in words why the last call of this thread failed.
 */
#ifndef RITZ_H
#define RITZ_H

#include <stdint.h>

#ifndef RITZ_API
#if defined(_WIN32)
#define RITZ_API
#else
#define RITZ_API __attribute__((visibility("default")))
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* How a run ended: 0 and up as ritz::Status, below 0 the call itself failed. */
typedef int32_t ritz_status;
enum {
  RITZ_CONVERGED = 0,
  RITZ_MAX_ITERATIONS = 1,
  RITZ_MAX_PRODUCTS = 2,
  RITZ_TIMEOUT = 3,
  RITZ_STOPPED = 4,
  RITZ_PRECISION_LIMIT = 5,
  RITZ_STAGNATION = 6,
  RITZ_CONDITION_LIMIT = 7,
  RITZ_NEGATIVE_CURVATURE = 8,
  RITZ_INDEFINITE_PRECONDITIONER = 9,
  RITZ_BREAKDOWN = 10,
  RITZ_NONFINITE = 11,
  RITZ_EVALUATION_FAILED = 12,
  RITZ_BOUNDARY = 13,
  RITZ_LEAST_SQUARES_SOLUTION = 14,
  RITZ_INVALID_ARGUMENT = -1,
  RITZ_CALLBACK_FAILED = -2,
  RITZ_OUT_OF_MEMORY = -3,
  RITZ_INTERNAL_ERROR = -4
};

enum { RITZ_FLOAT32 = 0, RITZ_FLOAT64 = 1, RITZ_COMPLEX64 = 2, RITZ_COMPLEX128 = 3 };

/* Y = A X (or Aᴴ X) for `columns` columns, ldx and ldy elements apart. `stream` is reserved for
 * device memory and is null on the host. */
typedef int (*ritz_apply_fn)(void* ctx, const void* x, int64_t ldx, void* y, int64_t ldy,
                             int64_t columns, void* stream);

/* An operator of shape (rows, cols) over elements of `dtype`; apply_adjoint may be null. */
typedef struct {
  uint32_t size;
  int32_t dtype;
  int64_t rows, cols;
  void* ctx;
  ritz_apply_fn apply, apply_adjoint;
} ritz_operator;

/* A nonlinear model z = f(x). evaluate may return a positive value where f is not defined: at a
 * trial point that counts as infinite cost. linearize makes x the point of jvp and vjp. */
typedef struct {
  uint32_t size;
  int32_t dtype; /* RITZ_FLOAT32 or RITZ_FLOAT64 */
  int64_t outputs, parameters;
  void* ctx;
  int (*evaluate)(void* ctx, const void* x, void* z);
  int (*linearize)(void* ctx, const void* x);
  int (*jvp)(void* ctx, const void* v, void* out);
  int (*vjp)(void* ctx, const void* u, void* out);
} ritz_model;

/* What an observer sees after each iteration; it returns nonzero to stop the run. */
typedef struct {
  uint32_t size;
  int32_t accepted;
  int64_t iteration, products;
  double residual, objective, seconds;
} ritz_iteration;
typedef int (*ritz_observe_fn)(void* ctx, const ritz_iteration* now);

typedef struct {
  uint32_t size;
  int32_t verified; /* the residual was evaluated from its definition */
  int64_t iterations, products, adjoint_products;
  double residual, target, objective, seconds;
} ritz_report;

typedef struct {
  uint32_t size;
  int32_t warm_start; /* x holds a first guess */
  int32_t verify;     /* evaluate the true residual before claiming convergence */
  int64_t max_iterations;
  double rtol, atol;
  double timeout; /* seconds */
  ritz_observe_fn observe;
  void* observe_ctx;
} ritz_cg_options;

typedef struct {
  uint32_t size;
  int32_t warm_start, verify;
  int64_t max_iterations;
  double damp, atol, btol, conlim;
  double timeout;
  ritz_observe_fn observe;
  void* observe_ctx;
} ritz_lsmr_options;

typedef struct {
  uint32_t size;
  int64_t max_iterations;
  double ftol, xtol, gtol, l2;
  double timeout;
  ritz_observe_fn observe;
  void* observe_ctx;
} ritz_least_squares_options;

RITZ_API void ritz_operator_init(ritz_operator* A);
RITZ_API void ritz_model_init(ritz_model* f);
RITZ_API void ritz_report_init(ritz_report* report);
RITZ_API void ritz_cg_options_init(ritz_cg_options* options);
RITZ_API void ritz_lsmr_options_init(ritz_lsmr_options* options);
RITZ_API void ritz_least_squares_options_init(ritz_least_squares_options* options);

/* Solves A x = b, A Hermitian positive definite; M approximates the inverse of A, or is null;
 * options may be null for the defaults, report if it is not wanted. */
RITZ_API ritz_status ritz_cg(const ritz_operator* A, const ritz_operator* M, const void* b, void* x,
                             const ritz_cg_options* options, ritz_report* report);
/* min ‖b − A x‖² + damp² ‖x − x₀‖². */
RITZ_API ritz_status ritz_lsmr(const ritz_operator* A, const void* b, void* x,
                               const ritz_lsmr_options* options, ritz_report* report);
/* min ½ ‖f(x)‖² + (l2/2) ‖x‖² from x, by Levenberg-Marquardt. */
RITZ_API ritz_status ritz_least_squares(const ritz_model* f, void* x,
                                        const ritz_least_squares_options* options,
                                        ritz_report* report);

/* Words for the last failure of a call in this thread; empty if there was none. */
RITZ_API const char* ritz_last_error(void);
/* What a status means and what to try next. */
RITZ_API const char* ritz_status_advice(ritz_status status);
/* Raised when a struct or function changes meaning; additions leave it as it is. */
RITZ_API uint32_t ritz_abi_version(void);

#ifdef __cplusplus
}
#endif

#endif
