"""The main job: its networks agree, it reaches its accuracy, and its numbers are true."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ritz
from ritz import cli
from ritz.demo import digits, mlp_numpy, run

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def data() -> digits.Digits:
    return digits.load(0)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    folder = tmp_path_factory.mktemp("demo")
    out = io.StringIO()
    run(json_file=folder / "numbers.json", picture=folder / "picture.png", file=out)
    return json.loads((folder / "numbers.json").read_text()), out.getvalue(), folder


def test_split(data: digits.Digits) -> None:
    assert data.train_images.shape == (1438, 64)
    assert data.test_images.shape == (359, 64)
    # Nothing lost, nothing twice, every class in its proportion.
    rows = {row.tobytes() for row in np.vstack([data.train_images, data.test_images])}
    assert len(rows) == 1797
    shares = np.bincount(data.test_labels) / (
        np.bincount(data.test_labels) + np.bincount(data.train_labels)
    )
    np.testing.assert_allclose(shares, 0.2, atol=0.004)
    other = digits.load(1)
    assert not np.array_equal(other.test_images, data.test_images)


def test_loss_hessian_is_the_derivative_of_the_gradient(data: digits.Digits) -> None:
    labels = data.train_labels[:7]
    loss = mlp_numpy.SoftmaxCrossEntropy(labels)
    reference = ritz.losses.CrossEntropy(labels)
    rng = np.random.default_rng(0)
    z, u = rng.standard_normal((2, 70))
    report = ritz.check(loss.gradient, z, hessian_product=loss.hessian_product)
    assert report.passed, str(report)
    step = 1e-6
    slope = (loss.value(z + step * u) - loss.value(z - step * u)) / (2 * step)
    assert slope == pytest.approx(float(loss.gradient(z) @ u), rel=1e-8)
    assert loss.value(z) == pytest.approx(reference.value(z), rel=1e-14)
    np.testing.assert_allclose(
        loss.hessian_product(z, u), reference.hessian_product(z, u), atol=1e-16
    )


def test_gauss_newton_matrix_is_the_dense_one(data: digits.Digits) -> None:
    """On five images, G from products equals JᵀHJ from a Jacobian written out column by column."""
    network = mlp_numpy.Network(data.train_images[:5])
    loss = mlp_numpy.SoftmaxCrossEntropy(data.train_labels[:5])
    logits, jvp, vjp = network.linearize(mlp_numpy.start(0))
    J = np.column_stack([jvp(e) for e in np.eye(mlp_numpy.PARAMETERS)])
    H = np.column_stack([loss.hessian_product(logits, e) for e in np.eye(50)])
    G = ritz.GaussNewton(jvp, vjp, lambda u: loss.hessian_product(logits, u), shape=J.shape)
    v = np.random.default_rng(1).standard_normal(mlp_numpy.PARAMETERS)
    np.testing.assert_allclose(G @ v, J.T @ (H @ (J @ v)), atol=1e-12)
    top = ritz.eigsh(G, k=3, return_eigenvectors=False)
    exact = np.linalg.eigvalsh(J.T @ H @ J)[-3:]
    np.testing.assert_allclose(np.sort(top.w), exact, rtol=1e-10)


def test_job(outcome: tuple[dict[str, Any], str, Path]) -> None:
    numbers, text, folder = outcome
    assert numbers["test_accuracy"] >= 0.97
    assert numbers["train_seconds"] > 0.0
    assert numbers["products"] == sum(numbers["products_by_phase"].values())
    values, bounds = np.array(numbers["eigenvalues"]), np.array(numbers["residual_bounds"])
    assert values.shape == bounds.shape == (10,)
    assert np.all(np.diff(values) <= 0.0)
    assert np.all((bounds >= 0.0) & (bounds <= 1e-6 * values[0]))
    # The ten largest of a positive semidefinite matrix add up to less than its trace.
    assert values.sum() < numbers["trace"] + 3.0 * numbers["trace_stderr"]
    assert 0.0 < numbers["trace_stderr"] < 0.1 * numbers["trace"]
    assert (folder / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert str(folder / "picture.png") in text
    for word in ("adjoint identity", "Taylor slope", "linearity", "symmetry", "damping", "inner"):
        assert word in text
    assert len(numbers["training"]["cost"]) == numbers["iterations"]


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_other_frameworks_do_the_same_job(
    framework: str, outcome: tuple[dict[str, Any], str, Path]
) -> None:
    pytest.importorskip(framework)
    numbers, _, _ = outcome
    other = run(framework, picture=None, file=io.StringIO())
    assert other.cost == pytest.approx(numbers["cost"], abs=1e-6)
    assert other.test_accuracy == numbers["test_accuracy"]
    np.testing.assert_allclose(other.eigenvalues, numbers["eigenvalues"], rtol=1e-5)


def test_jax_setting_is_restored() -> None:
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    run("jax", picture=None, file=io.StringIO())
    assert jax.config.jax_enable_x64 == before


def test_unknown_framework() -> None:
    with pytest.raises(ValueError, match="framework is 'caffe'"):
        run("caffe", picture=None, file=io.StringIO())


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = tmp_path / "numbers.json"
    assert cli.main(["demo", "--no-picture", "--json", str(numbers), "--seed", "1"]) == 0
    told = capsys.readouterr().out
    assert "accuracy" in told
    assert "picture" not in told
    written = json.loads(numbers.read_text())
    assert set(written) == {field.name for field in dataclasses.fields(ritz.demo.Outcome)}
    assert cli.main(["info"]) == 0
    told = capsys.readouterr().out
    assert ritz.__version__ in told
    assert "instruction set" in told
    with pytest.raises(SystemExit):
        cli.main(["demo", "--framework", "caffe"])


def test_demo_that_cannot_write_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there_is_no_such_folder = tmp_path / "none" / "numbers.json"
    assert cli.main(["demo", "--no-picture", "--json", str(there_is_no_such_folder)]) == 1
    assert "none" in capsys.readouterr().err
