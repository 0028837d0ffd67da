"""Git, asked about a folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

from counterpoise.files import LARGEST


def ask_git(root: Path, *arguments: str) -> str | None:
    """Return what Git prints in a folder, None where it fails or is not there."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    except OSError:
        return None
    if done.returncode != 0 or len(done.stdout) > LARGEST:
        return None
    return done.stdout.decode("utf-8", errors="replace")


def commit_of(root: Path, *paths: str) -> tuple[str | None, bool | None]:
    """Return a folder's commit, and whether tracked files (those of ``paths``) differ from it; None outside of Git."""
    commit = ask_git(root, "rev-parse", "HEAD")
    changed = ask_git(root, "status", "--porcelain", "--untracked-files=no", "--", *paths)
    return (None, None) if commit is None or changed is None else (commit.strip(), bool(changed.strip()))
