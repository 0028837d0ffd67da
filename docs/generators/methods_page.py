"""Write ``docs/methods.md`` from what methods declare: ``python docs/generators/methods_page.py docs/methods.md``.

Declarations are read, not run: no torch is imported.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

from counterpoise import files
from counterpoise.components import Component, SettingInfo, components

FAMILIES = {
    "loss": "Loss methods: which losses are summed, with which weights or extra terms",
    "modulation": "Modulation methods: each encoder's gradient scaled by how its modality does",
    "integration": "Integration methods: the gradients of several objectives combined",
}

NEEDS = {
    "weight_slices": "a fusion with one weight slice per modality",
    "validation_split": "validation data",
    "extra_forwards": "more than one forward pass",
    "prototypes": "a pass over part of the training split before every epoch",
    "unimodal_runs": "the unimodal runs of the same seed",
}

HEAD = """\
# Methods

*Written by `python docs/generators/methods_page.py docs/methods.md` from what the files in
`src/counterpoise/methods/` declare; a test holds the two equal.*

A variant is a parameterisation of one file: `published` as the paper's text says, `released` as the authors'
code does where the two differ, others are ablations. A benchmark asks for them by
`variants: {mmpareto: [published, released]}`; without that, `published` runs. Values for single datasets are
in `configs/methods/`.

`counterpoise check NAME` checks a method, built in or not, against the conformance suite;
`counterpoise new method NAME` writes the file and the test of a new one.
"""


def reference() -> str:
    """Return the text of ``docs/methods.md``; methods of other packages are left out."""
    found = [item for item in components("method").values() if item.module.startswith("counterpoise.")]
    parts = [HEAD, _overview(found)]
    for family, title in FAMILIES.items():
        parts.append(f"## {title}\n")
        parts += [_method(item) for item in found if item.info.family == family]
    return "\n".join(parts)


def _overview(found: list[Component]) -> str:
    lines = ["| method | name | trains | defined for | needs | variants |", "|---|---|---|---|---|---|"]
    for item in found:
        info = item.info
        needs = "; ".join(NEEDS.get(need, need) for need in info.needs) or "–"
        variants = ", ".join(f"`{name}`" for name in info.variants)
        trains = {"joint": "joint loss", "single": "one unimodal loss"}.get(info.trains, "all losses")
        cells = (f"[{info.title}](#{item.name})", f"`{item.name}`", trains, _domain(info), needs, variants)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _domain(info: Any) -> str:
    least, most = info.modalities
    number = f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"
    return f"{number} modalities{'; several tasks' if info.tasks else ''}"


def _method(item: Component) -> str:
    info = item.info
    lines = [f'<a id="{item.name}"></a>\n', f"### {info.title}\n", f"{info.paper}. {_sentence(info.source)}\n"]
    lines += [f"{_docstring(item)}\n", "| variant | settings | source |", "|---|---|---|"]
    for name, variant in info.variants.items():
        given = variant.get("settings", {})
        chosen = ", ".join(f"`{key}: {_literal(value)}`" for key, value in given.items())
        lines.append(f"| `{name}` | {chosen or '–'} | {_sentence(variant.get('source', info.source))} |")
    lines.append("")
    if item.settings:
        lines += ["| setting | default | allowed | meaning |", "|---|---|---|---|"]
        lines += [_setting(setting) for setting in item.settings.values()]
        lines.append("")
    return "\n".join(lines)


def _setting(setting: SettingInfo) -> str:
    meaning = _sentence(setting.bounds.doc)
    return f"| `{setting.name}` | `{_literal(setting.default)}` | {_allowed(setting)} | {meaning} |"


def _allowed(setting: SettingInfo) -> str:
    bounds = setting.bounds
    if bounds.choices is not None:
        return ", ".join(f"`{_literal(choice)}`" for choice in bounds.choices)
    signs = {"above": ">", "minimum": "≥", "below": "<", "maximum": "≤"}
    limits = {sign: getattr(bounds, name) for name, sign in signs.items()}
    found = [f"{sign} {value:g}" for sign, value in limits.items() if value is not None]
    kind = getattr(setting.type, "__name__", str(setting.type))
    kind = kind if kind in ("bool", "int", "float", "str") else str(setting.type)
    return f"{kind.replace(' | None', ' or null').replace('|', 'or')} {', '.join(found)}".strip()


def _literal(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value}"


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".") if text else ""


def _docstring(item: Component) -> str:
    tree = ast.parse(item.file.read_text(encoding="utf-8"))
    (node,) = (part for part in tree.body if isinstance(part, ast.ClassDef) and part.name == item.class_name)
    return (ast.get_docstring(node) or "").replace("``", "`")


if __name__ == "__main__":
    files.write_text(Path(sys.argv[1]), reference())
