"""Approximations of low rank, each with an estimate of its error."""
