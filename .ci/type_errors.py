"""Check the types with mypy: no error in the strict packages, and no more than before in the others.

``pyproject.toml`` says which packages are strict and how many errors each of the others may have
(``[tool.counterpoise.type-errors]``). The numbers only shrink: a package with fewer errors than its number fails the
check too, until its number is lowered (``--lower`` writes it).
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ERROR = re.compile(r"^src/counterpoise/(?P<place>[\w/]+)\.py:\d+: error: ", re.MULTILINE)
SECTION = "[tool.counterpoise.type-errors]"


def package_of(place: str) -> str:
    """Return the package of a module ``engine/step``; a module beside the packages stands for itself."""
    return place.partition("/")[0]


def count(output: str) -> dict[str, int]:
    """Count the errors in mypy's output by package."""
    return dict(sorted(Counter(package_of(match["place"]) for match in ERROR.finditer(output)).items()))


def complaints(errors: dict[str, int], allowed: dict[str, int]) -> list[str]:
    """Return a line for each package whose number of errors is not the one that it may have."""
    lines = []
    for package in sorted({*errors, *allowed}):
        there, limit = errors.get(package, 0), allowed.get(package, 0)
        if there > limit:
            lines.append(f"{package}: {there} type errors, {limit} allowed: mend the new ones")
        elif there < limit:
            lines.append(
                f"{package}: {there} type errors, fewer than the {limit} allowed: python .ci/type_errors.py --lower"
            )
    return lines


def lowered(text: str, errors: dict[str, int], allowed: dict[str, int]) -> str:
    """Return pyproject.toml's text with each package's number as it is now; none is raised."""
    head, _, rest = text.partition(f"{SECTION}\n")
    tail = rest.partition("\n\n")[2]
    kept = {package: min(errors.get(package, 0), limit) for package, limit in allowed.items()}
    lines = "".join(f"{package} = {number}\n" for package, number in sorted(kept.items()) if number)
    return f"{head}{SECTION}\n{lines}" + (f"\n{tail}" if tail else "")


def main(arguments: list[str]) -> int:
    project = ROOT / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    allowed = tomllib.loads(text)["tool"]["counterpoise"]["type-errors"]
    found = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode > 1 or ("Success:" not in found.stdout and not ERROR.search(found.stdout)):
        sys.exit(f"mypy itself failed:\n{found.stdout}{found.stderr}")
    errors = count(found.stdout)
    if "--lower" in arguments:
        project.write_text(lowered(text, errors, allowed), encoding="utf-8")
        allowed = {package: min(errors.get(package, 0), limit) for package, limit in allowed.items()}
    wrong = complaints(errors, allowed)
    for line in found.stdout.splitlines():
        match = ERROR.match(line)
        package = package_of(match["place"]) if match else ""
        if match and errors[package] > allowed.get(package, 0):
            print(line)
    print("\n".join(wrong) or f"types: no new errors ({sum(errors.values())} known ones outside the strict packages)")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
