"""The command line, one module per group of commands; thin over the library."""

from counterpoise.cli.app import main

__all__ = ["main"]
