"""Benchmarks: every figure in the documentation was measured by one of these (``python -m cvdemo.bench``)."""
