"""The ``tidemark`` command: the planner and the runner without a scheduler."""

from tidemark.cli.main import main

__all__ = ["main"]
