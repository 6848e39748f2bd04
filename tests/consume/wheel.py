"""Checks an installed ritz as its users get it: run by an interpreter that has the wheel only."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import numpy as np

import ritz

assert "site-packages" in ritz.__file__, f"{ritz.__file__} is not an installed copy"
assert Path(ritz.__file__).with_name("py.typed").is_file(), "py.typed is missing from the wheel"

files = [str(file) for file in importlib.metadata.files("ritz") or []]
unexpected = [f for f in files if f.endswith((".hpp", ".h", ".a", ".cpp", ".cmake"))]
assert not unexpected, f"the wheel carries build files: {unexpected}"

# optree brings typing_extensions; pip and setuptools are the environment's own.
needed = {"ritz", "numpy", "optree", "array-api-compat", "typing_extensions", "pip", "setuptools"}
names = {found.metadata["Name"].lower() for found in importlib.metadata.distributions()}
assert names <= needed, f"more than its dependencies came along: {names - needed}"

# A symmetric positive definite tridiagonal system, by a closure.
n = 200


def second_difference(u: np.ndarray) -> np.ndarray:
    """Return 2.5 u_i - u_{i-1} - u_{i+1}."""
    v = 2.5 * u
    v[1:] -= u[:-1]
    v[:-1] -= u[1:]
    return v


b = np.sin(0.1 * np.arange(n))
x, info = ritz.cg(ritz.LinearOperator((n, n), matvec=second_difference), b, rtol=1e-10)
residual = np.linalg.norm(b - second_difference(x)) / np.linalg.norm(b)
assert info == 0, f"cg ended with info = {info}"
assert residual <= 1e-10, f"the residual is {residual:.1e}"

command = Path(sys.executable).with_name("ritz")
said = subprocess.run([command, "info"], check=True, capture_output=True, text=True).stdout
version = importlib.metadata.version("ritz")
assert version in said, f"`ritz info` does not name version {version}: {said!r}"
assert "CUDA" in said, f"`ritz info` does not tell whether there is a device: {said!r}"
print(f"ritz {version} from a wheel: {len(files)} files, cg residual {residual:.1e}")
