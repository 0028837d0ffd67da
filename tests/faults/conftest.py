"""The fixtures that every test of a fault starts from."""

from harness import project, undisturbed, undisturbed_home

__all__ = ["project", "undisturbed", "undisturbed_home"]
