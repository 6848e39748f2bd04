"""Eigenvalues, singular values, and what follows from the extreme ones."""
