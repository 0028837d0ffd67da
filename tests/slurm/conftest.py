"""What the cluster's results are compared with."""

from harness import undisturbed, undisturbed_home

__all__ = ["undisturbed", "undisturbed_home"]
