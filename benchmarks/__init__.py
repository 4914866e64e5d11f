"""Benchmarks: each compares, in one run on one machine, and prints ratios. ``python -m benchmarks --help`` names them."""
