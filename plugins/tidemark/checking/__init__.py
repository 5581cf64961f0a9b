"""Checks pipeline files before they are merged: what scientists' CI, a hook and `tidemark check` ask."""

from tidemark.checking.finding import Finding, Rule
from tidemark.checking.folder import BUDGET, LIMIT, Checked, check_folder

__all__ = ["BUDGET", "LIMIT", "Checked", "Finding", "Rule", "check_folder"]
