"""Results made of numbers, for all tests of reporting."""

from made_results import make_study

__all__ = ["make_study"]
