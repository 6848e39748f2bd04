// Bundle adjustment in the large, as closures: residuals of projected points, and the products of
// their Jacobian from stored 2×9 camera and 2×3 point blocks.
//
// Agarwal, Snavely, Seitz, Szeliski: Bundle adjustment in the large. ECCV 2010.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "ritz/core/view.hpp"

namespace bal {

using ritz::Index;
using Vector = ritz::VectorView<double>;
using ConstVector = ritz::VectorView<const double>;
using Vec3 = std::array<double, 3>;

inline Vec3 cross(const Vec3& a, const Vec3& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}
inline double dot(const Vec3& a, const Vec3& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

/// Coefficients of the rotation exp([w]×) = I + s [w]× + c [w]×² and of its right Jacobian
/// I − c [w]× + d [w]×², by their series near zero, where the quotients lose all digits.
struct Rotation {
  explicit Rotation(const Vec3& axis) : w(axis) {
    const double t2 = dot(w, w);
    if (t2 > 1e-8) {
      const double t = std::sqrt(t2);
      s = std::sin(t) / t;
      c = (1.0 - std::cos(t)) / t2;
      d = (t - std::sin(t)) / (t2 * t);
    } else {
      s = 1.0 - t2 / 6.0;
      c = 0.5 - t2 / 24.0;
      d = 1.0 / 6.0 - t2 / 120.0;
    }
  }
  Vec3 rotate(const Vec3& x) const { return expand(x, s, c); }
  Vec3 right_jacobian(const Vec3& x) const { return expand(x, -c, d); }

  Vec3 w;
  double s, c, d;

 private:
  Vec3 expand(const Vec3& x, double first, double second) const {
    const Vec3 wx = cross(w, x), wwx = cross(w, wx);
    return {x[0] + first * wx[0] + second * wwx[0], x[1] + first * wx[1] + second * wwx[1],
            x[2] + first * wx[2] + second * wwx[2]};
  }
};

/// The unknowns are nine numbers a camera (rotation, translation, focal length, two distortions),
/// then three a point.
class Problem {
 public:
  explicit Problem(const std::string& path) {
    std::ifstream file(path);
    Index count = 0;
    if (!(file >> cameras_ >> points_ >> count)) throw std::runtime_error("cannot read " + path);
    observations_.resize(static_cast<std::size_t>(count));
    for (Observation& o : observations_) file >> o.camera >> o.point >> o.u >> o.v;
    start_.resize(static_cast<std::size_t>(parameters()));
    for (double& x : start_) file >> x;
    if (!file) throw std::runtime_error(path + " ends early");
    jacobian_.resize(observations_.size());
    camera_factors_.resize(static_cast<std::size_t>(cameras_));
    point_factors_.resize(static_cast<std::size_t>(points_));
  }

  Index parameters() const { return 9 * cameras_ + 3 * points_; }
  Index outputs() const { return 2 * static_cast<Index>(observations_.size()); }
  const std::vector<double>& start() const { return start_; }

  bool evaluate(ConstVector x, Vector r) const {
    for (std::size_t i = 0; i < observations_.size(); ++i) {
      const Observation& o = observations_[i];
      const double* camera = x.data + 9 * o.camera;
      const Projection p(camera, point(x, o));
      r.data[2 * i] = camera[6] * p.radial * p.x - o.u;
      r.data[2 * i + 1] = camera[6] * p.radial * p.y - o.v;
    }
    return true;
  }

  void linearize(ConstVector x) {
    for (std::size_t i = 0; i < observations_.size(); ++i) {
      const Observation& o = observations_[i];
      const double* camera = x.data + 9 * o.camera;
      const Projection p(camera, point(x, o));
      const double f = camera[6], bend = 2.0 * (camera[7] + 2.0 * camera[8] * p.n2);
      for (std::size_t row = 0; row < 2; ++row) {
        const double pr = row == 0 ? p.x : p.y;
        // Row of ∂(f radial p)/∂p, then of ∂/∂P with p = −P_xy / P_z.
        const double dx = f * ((row == 0 ? p.radial : 0.0) + pr * bend * p.x);
        const double dy = f * ((row == 1 ? p.radial : 0.0) + pr * bend * p.y);
        const double z = 1.0 / p.P[2];
        const Vec3 dP = {-dx * z, -dy * z, -(dx * p.x + dy * p.y) * z};
        // P = R X + t, so ∂P/∂X = R and ∂P/∂w = −R [X]× J_r(w); rows are multiplied from the left.
        const Rotation back({-camera[0], -camera[1], -camera[2]});
        const Vec3 dX = back.rotate(dP);
        const Vec3 dw = back.right_jacobian(cross(point(x, o), dX));
        double* J = jacobian_[i].data() + 12 * row;
        for (std::size_t k = 0; k < 3; ++k) {
          J[k] = dw[k];
          J[3 + k] = dP[k];
          J[9 + k] = dX[k];
        }
        J[6] = p.radial * pr;
        J[7] = f * pr * p.n2;
        J[8] = f * pr * p.n2 * p.n2;
      }
    }
  }

  void jvp(ConstVector v, Vector out) const {
    for (std::size_t i = 0; i < observations_.size(); ++i) {
      const Observation& o = observations_[i];
      const double *c = v.data + 9 * o.camera, *q = v.data + 9 * cameras_ + 3 * o.point;
      for (std::size_t row = 0; row < 2; ++row) {
        const double* J = jacobian_[i].data() + 12 * row;
        double sum = 0.0;
        for (std::size_t k = 0; k < 9; ++k) sum += J[k] * c[k];
        for (std::size_t k = 0; k < 3; ++k) sum += J[9 + k] * q[k];
        out.data[2 * i + row] = sum;
      }
    }
  }

  void vjp(ConstVector u, Vector out) const {
    for (double& value : out) value = 0.0;
    for (std::size_t i = 0; i < observations_.size(); ++i) {
      const Observation& o = observations_[i];
      double *c = out.data + 9 * o.camera, *q = out.data + 9 * cameras_ + 3 * o.point;
      const double* J = jacobian_[i].data();
      const double a = u.data[2 * i], b = u.data[2 * i + 1];
      for (std::size_t k = 0; k < 9; ++k) c[k] += J[k] * a + J[12 + k] * b;
      for (std::size_t k = 0; k < 3; ++k) q[k] += J[9 + k] * a + J[21 + k] * b;
    }
  }

  void prepare(ConstVector damping) {
    for (auto& block : camera_factors_) block = {};
    for (auto& block : point_factors_) block = {};
    for (std::size_t i = 0; i < observations_.size(); ++i) {
      const double* J = jacobian_[i].data();
      camera_factors_[static_cast<std::size_t>(observations_[i].camera)].add_gram(J, J + 12);
      point_factors_[static_cast<std::size_t>(observations_[i].point)].add_gram(J + 9, J + 21);
    }
    const double* d = damping.data;
    for (auto& block : camera_factors_) d = block.factor(d);
    for (auto& block : point_factors_) d = block.factor(d);
  }

  void precondition(ConstVector r, Vector z) const {
    const double* from = r.data;
    double* to = z.data;
    for (const auto& block : camera_factors_) block.solve(from, to);
    for (const auto& block : point_factors_) block.solve(from, to);
  }

 private:
  /// A small symmetric positive definite matrix and its Cholesky factor, in the lower triangle.
  template <std::size_t N>
  struct Cholesky {
    void add_gram(const double* a, const double* b) {
      for (std::size_t i = 0; i < N; ++i) {
        for (std::size_t j = 0; j <= i; ++j) L[i][j] += a[i] * a[j] + b[i] * b[j];
      }
    }
    /// Adds the next N entries of the diagonal, factors, and returns what follows them.
    const double* factor(const double* diagonal) {
      for (std::size_t i = 0; i < N; ++i) {
        L[i][i] += diagonal[i];
        for (std::size_t j = 0; j <= i; ++j) {
          double sum = L[i][j];
          for (std::size_t k = 0; k < j; ++k) sum -= L[i][k] * L[j][k];
          L[i][j] = i == j ? std::sqrt(sum) : sum / L[j][j];
        }
      }
      return diagonal + N;
    }
    void solve(const double*& r, double*& z) const {
      for (std::size_t i = 0; i < N; ++i) {
        z[i] = r[i];
        for (std::size_t k = 0; k < i; ++k) z[i] -= L[i][k] * z[k];
        z[i] /= L[i][i];
      }
      for (std::size_t i = N; i-- > 0;) {
        for (std::size_t k = i + 1; k < N; ++k) z[i] -= L[k][i] * z[k];
        z[i] /= L[i][i];
      }
      r += N;
      z += N;
    }
    double L[N][N] = {};
  };

  struct Observation {
    Index camera, point;
    double u, v;
  };

  /// P = R X + t, p = −P_xy / P_z, and the radial distortion at p.
  struct Projection {
    Projection(const double* camera, const Vec3& X) {
      P = Rotation({camera[0], camera[1], camera[2]}).rotate(X);
      for (std::size_t k = 0; k < 3; ++k) P[k] += camera[3 + k];
      x = -P[0] / P[2];
      y = -P[1] / P[2];
      n2 = x * x + y * y;
      radial = 1.0 + n2 * (camera[7] + camera[8] * n2);
    }
    Vec3 P;
    double x, y, n2, radial;
  };

  Vec3 point(ConstVector x, const Observation& o) const {
    const double* q = x.data + 9 * cameras_ + 3 * o.point;
    return {q[0], q[1], q[2]};
  }

  Index cameras_ = 0, points_ = 0;
  std::vector<Observation> observations_;
  std::vector<double> start_;
  std::vector<std::array<double, 24>> jacobian_;  // rows of 9 + 3, two an observation
  std::vector<Cholesky<9>> camera_factors_;
  std::vector<Cholesky<3>> point_factors_;
};

}  // namespace bal
