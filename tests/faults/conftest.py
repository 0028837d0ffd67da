"""The fixtures that every test of a fault starts from."""

from harness import finished, project, still_to_do, undisturbed, undisturbed_home

__all__ = ["finished", "project", "still_to_do", "undisturbed", "undisturbed_home"]
