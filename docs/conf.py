"""Sphinx configuration."""

from __future__ import annotations

import re

import ritz

project = "ritz"
author = "the ritz authors"
copyright = f"2026, {author}"
version = release = ritz.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "ritz"

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = True
napoleon_use_ivar = True  # properties may be named under Attributes as well
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"


def keep_magnitudes(app, what, name, obj, options, lines):
    """Escapes the bars of |λ|, which reStructuredText would read as a substitution."""
    lines[:] = [re.sub(r"\|(?=\S)([^|`]*\S)\|", r"\|\1\|", line) for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", keep_magnitudes)
