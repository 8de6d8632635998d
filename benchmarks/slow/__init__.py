"""Slow, obvious versions of the fast parts: what the benchmarks compare with, and the oracle of the tests."""
