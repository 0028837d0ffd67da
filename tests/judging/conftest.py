"""Studies made of numbers, for all tests of judging."""

from made_results import make_study

__all__ = ["make_study"]
