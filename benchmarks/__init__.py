"""Measurements, each a command of its own; ``python -m benchmarks`` makes the figures of docs/benchmarks.md."""
