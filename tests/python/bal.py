"""Bundle adjustment in the large: reader, residual and both Jacobian products, vectorised in NumPy.

A camera is (w, t, f, k1, k2): angle-axis rotation w, translation t, focal length f and two radial
distortions. It maps a world point X to f (1 + k1 |p|^2 + k2 |p|^4) p with P = R(w) X + t and
p = -P_xy / P_z. The unknowns are all cameras (9 each), then all points (3 each).

Reference: Agarwal, Snavely, Seitz, Szeliski, "Bundle Adjustment in the Large", ECCV 2010.
"""

from __future__ import annotations

import lzma
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Linearization = tuple[Array, Callable[[Array], Array], Callable[[Array], Array]]

CAMERA = 9
POINT = 3


def _rotation_coefficients(theta2: Array) -> tuple[Array, Array, Array]:
    """sin t / t, (1 - cos t) / t^2 and (t - sin t) / t^3 at t = sqrt(theta2), smooth at zero."""
    small = theta2 < 1e-4  # below it three Taylor terms are exact to 1e-16 and nothing cancels
    t2 = np.where(small, 1.0, theta2)
    t = np.sqrt(t2)
    s = theta2
    a = np.where(small, 1 - s / 6 * (1 - s / 20 * (1 - s / 42)), np.sin(t) / t)
    b = np.where(small, 0.5 - s / 24 * (1 - s / 30 * (1 - s / 56)), 2 * (np.sin(t / 2) / t) ** 2)
    c = np.where(small, 1 / 6 - s / 120 * (1 - s / 42 * (1 - s / 72)), (t - np.sin(t)) / (t * t2))
    return a, b, c


@dataclass(frozen=True)
class BundleAdjustment:
    """min 1/2 sum of squared reprojection errors, by closures."""

    cameras: int
    points: int
    camera_index: NDArray[np.int64]  # (observations,)
    point_index: NDArray[np.int64]  # (observations,)
    observed: Array  # (observations, 2)
    x0: Array  # (9 cameras + 3 points,)
    _last: dict[bytes, tuple[Array, Array, Array]] = field(default_factory=dict, repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Residuals and unknowns."""
        return self.observed.size, self.x0.size

    def _split(self, x: Array) -> tuple[Array, Array]:
        cut = CAMERA * self.cameras
        return x[:cut].reshape(-1, CAMERA), x[cut:].reshape(-1, POINT)

    def _gather(self, x: Array) -> tuple[Array, Array]:
        cameras, points = self._split(x)
        return cameras[self.camera_index], points[self.point_index]

    def residual(self, x: Array) -> Array:
        """Predicted minus observed image points, shape (2 observations,)."""
        camera, point = self._gather(x)
        w = camera[:, :3]
        a, b, _ = _rotation_coefficients(np.einsum("ij,ij->i", w, w))
        turn = np.cross(w, point)
        world = point + a[:, None] * turn + b[:, None] * np.cross(w, turn) + camera[:, 3:6]
        with np.errstate(all="ignore"):  # a trial point may lie on the camera plane
            p = -world[:, :2] / world[:, 2:]
            r2 = np.einsum("ij,ij->i", p, p)
            scale = camera[:, 6] * (1 + r2 * (camera[:, 7] + r2 * camera[:, 8]))
            return (scale[:, None] * p - self.observed).ravel()

    def blocks(self, x: Array) -> tuple[Array, Array, Array]:
        """Residual and the 2x9 camera and 2x3 point derivatives of every observation."""
        key = x.tobytes()
        if key not in self._last:
            result = self._blocks(x)
            self._last.clear()  # one point is kept: products and preconditioner share it
            self._last[key] = result
        return self._last[key]

    def _blocks(self, x: Array) -> tuple[Array, Array, Array]:
        camera, point = self._gather(x)
        w = camera[:, :3]
        count = len(w)
        a, b, c = _rotation_coefficients(np.einsum("ij,ij->i", w, w))
        cross = np.zeros((count, 3, 3))
        cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -w[:, 2], w[:, 1], -w[:, 0]
        cross[:, 1, 0], cross[:, 2, 0], cross[:, 2, 1] = w[:, 2], -w[:, 1], w[:, 0]
        square = cross @ cross
        eye = np.eye(3)
        rotation = eye + a[:, None, None] * cross + b[:, None, None] * square
        left = eye + b[:, None, None] * cross + c[:, None, None] * square
        turned = np.einsum("ijk,ik->ij", rotation, point)
        world = turned + camera[:, 3:6]
        # d(R X)/dw = -[R X]x J_left(w), with the left Jacobian of SO(3)
        minus_cross = np.zeros((count, 3, 3))
        minus_cross[:, 0, 1], minus_cross[:, 0, 2] = turned[:, 2], -turned[:, 1]
        minus_cross[:, 1, 0], minus_cross[:, 1, 2] = -turned[:, 2], turned[:, 0]
        minus_cross[:, 2, 0], minus_cross[:, 2, 1] = turned[:, 1], -turned[:, 0]
        with np.errstate(all="ignore"):
            depth = 1.0 / world[:, 2]
            p = -world[:, :2] * depth[:, None]
            r2 = np.einsum("ij,ij->i", p, p)
            f, k1, k2 = camera[:, 6], camera[:, 7], camera[:, 8]
            distortion = 1 + r2 * (k1 + r2 * k2)
            value = (f * distortion)[:, None] * p - self.observed
            # d image / d p = f (distortion I + 2 (k1 + 2 k2 r^2) p p^T)
            image = 2 * (f * (k1 + 2 * k2 * r2))[:, None, None] * p[:, :, None] * p[:, None, :]
            image[:, 0, 0] += f * distortion
            image[:, 1, 1] += f * distortion
            project = np.zeros((count, 2, 3))  # d p / d world
            project[:, 0, 0] = project[:, 1, 1] = -depth
            project[:, :, 2] = -p * depth[:, None]
            along = image @ project
        camera_block = np.empty((count, 2, CAMERA))
        camera_block[:, :, 0:3] = along @ (minus_cross @ left)
        camera_block[:, :, 3:6] = along
        camera_block[:, :, 6] = distortion[:, None] * p
        camera_block[:, :, 7] = (f * r2)[:, None] * p
        camera_block[:, :, 8] = (f * r2**2)[:, None] * p
        return value.ravel(), camera_block, along @ rotation

    def linearize(self, x: Array) -> Linearization:
        """Residual and both products with its Jacobian at x, the blocks computed once."""
        value, camera_block, point_block = self.blocks(x)
        camera_slots = (CAMERA * self.camera_index[:, None] + np.arange(CAMERA)).ravel()
        point_slots = (POINT * self.point_index[:, None] + np.arange(POINT)).ravel()

        def jvp(v: Array) -> Array:
            camera, point = self._gather(v)
            image = np.einsum("ijk,ik->ij", camera_block, camera)
            image += np.einsum("ijk,ik->ij", point_block, point)
            return image.ravel()

        def vjp(u: Array) -> Array:
            image = u.reshape(-1, 2)
            camera = np.einsum("ijk,ij->ik", camera_block, image).ravel()
            point = np.einsum("ijk,ij->ik", point_block, image).ravel()
            return np.concatenate(
                [
                    np.bincount(camera_slots, camera, CAMERA * self.cameras),
                    np.bincount(point_slots, point, POINT * self.points),
                ]
            )

        return value, jvp, vjp

    def preconditioner(self, x: Array, damping: Array) -> Callable[[Array], Array]:
        """Return r -> M^-1 r with M the camera and point blocks of J^T J + diag(damping)."""
        _, camera_block, point_block = self.blocks(x)
        cut = CAMERA * self.cameras
        inverses = []
        for block, index, count, extra in (
            (camera_block, self.camera_index, self.cameras, damping[:cut]),
            (point_block, self.point_index, self.points, damping[cut:]),
        ):
            size = block.shape[2]
            squares = np.einsum("nij,nik->njk", block, block).reshape(-1, size**2)
            slots = size**2 * index[:, None] + np.arange(size**2)
            gram = np.bincount(slots.ravel(), squares.ravel(), size**2 * count)
            gram = gram.reshape(count, size, size)
            gram += extra.reshape(count, size)[:, :, None] * np.eye(size)
            # Scaled to a unit diagonal: focal lengths and distortions are ten powers apart.
            scale = 1.0 / np.sqrt(np.einsum("nii->ni", gram))
            outer = scale[:, :, None] * scale[:, None, :]
            inverses.append(np.linalg.inv(gram * outer) * outer)

        def solve(r: Array) -> Array:
            parts = zip(inverses, self._split(r), strict=True)
            return np.concatenate([np.einsum("nij,nj->ni", M, part).ravel() for M, part in parts])

        return solve

    def jvp(self, x: Array, v: Array) -> Array:
        """J(x) v, shape (2 observations,)."""
        return self.linearize(x)[1](v)

    def vjp(self, x: Array, u: Array) -> Array:
        """J(x)^T u, shape (9 cameras + 3 points,)."""
        return self.linearize(x)[2](u)

    def cost(self, x: Array) -> float:
        """1/2 sum of squared residuals."""
        r = self.residual(x)
        return 0.5 * float(r @ r)


def read(path: str | Path) -> BundleAdjustment:
    """Read a problem in the BAL text format, plain or compressed by xz."""
    path = Path(path)
    if path.suffix == ".xz":
        with lzma.open(path, "rt", encoding="ascii") as file:
            words = file.read().split()
    else:
        words = path.read_text(encoding="ascii").split()
    cameras, points, count = (int(word) for word in words[:3])
    table = np.array(words[3 : 3 + 4 * count], dtype=np.float64).reshape(count, 4)
    x0 = np.array(words[3 + 4 * count :], dtype=np.float64)
    if x0.size != CAMERA * cameras + POINT * points:
        raise ValueError(
            f"{path} has {x0.size} parameters; its header promises {cameras} cameras and "
            f"{points} points, {CAMERA * cameras + POINT * points} parameters: the file is cut"
        )
    return BundleAdjustment(
        cameras=cameras,
        points=points,
        camera_index=table[:, 0].astype(np.int64),
        point_index=table[:, 1].astype(np.int64),
        observed=np.ascontiguousarray(table[:, 2:]),
        x0=x0,
    )
