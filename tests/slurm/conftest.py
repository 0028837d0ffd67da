"""What the cluster's results are compared with."""

from harness import undisturbed_home

__all__ = ["undisturbed_home"]
