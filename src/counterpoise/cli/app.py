"""The command line: thin over the library. Nothing heavy is imported until the command that needs it runs."""

from __future__ import annotations

import contextlib
import gc
import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from counterpoise.cli import extend, listing, plumbing, records, report_bug, results, run
from counterpoise.cli.project import benchmark_names, project_or_packaged
from counterpoise.errors import UserError, reason

# Newer Typers bring a Click of their own, older ones need the real one: the base of usage errors is found.
USAGE_ERROR = typer.BadParameter.__mro__[2]

# A group of another module takes all that follows its name: the module is imported only when it is called.
GROUP: dict[str, Any] = {"allow_extra_args": True, "ignore_unknown_options": True}

INTERRUPTED = 130
"""The exit code of a command that was stopped by Ctrl-C, as shells have it."""
GO_ON = ("run", "data", "train", "measure", "fetch", "prepare", "fetch-weights", "gc")
CHANGE_NOTHING = ("check", "list", "plan", "redo", "status", "values", "verify")

app = typer.Typer(
    pretty_exceptions_enable=False,
    help="Regenerate the tables and figures of two papers on balanced multimodal learning, and judge them.",
)
datasets = typer.Typer()


@datasets.command("data", rich_help_panel="Data", add_help_option=False, context_settings=GROUP)
def data(context: typer.Context) -> None:
    """Fetch, prepare, mirror and look at datasets; 'counterpoise data --help' lists the commands."""
    from counterpoise.cli.data import app as commands

    code = commands(context.args or ["--help"], prog_name=context.command_path, standalone_mode=False)
    raise typer.Exit(code if isinstance(code, int) else 0)


for commands in (run.app, results.app, records.app, datasets, extend.app, listing.app, report_bug.app, plumbing.app):
    app.add_typer(commands)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"counterpoise {version('counterpoise')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print it")
    ] = False,
) -> None:
    """Regenerate the tables and figures of two papers on balanced multimodal learning, and judge them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Whatever is wrong with what was given, or with a file, ends in one line on stderr and exit code 2.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        # The process is this command's own. What it imports is a million objects that live to its end: looking for
        # garbage among them as often as usual takes a tenth of its start.
        gc.set_threshold(10_000, 20, 20)
    try:
        code = app(given or ["--help"], prog_name="counterpoise", standalone_mode=False)
        if code == INTERRUPTED:  # typer makes it of a KeyboardInterrupt
            print(_stopped(given), file=sys.stderr)
        return code if isinstance(code, int) else 0
    except USAGE_ERROR as error:
        return _refuse(error.format_message() + _usage_hint(error))
    except (UserError, OSError) as error:
        return _refuse(reason(error))
    except (KeyboardInterrupt, typer.Abort):  # outside of a command
        print(_stopped(given), file=sys.stderr)
        return INTERRUPTED


def _usage_hint(error: Any) -> str:
    """Return what to add to what is said of a command line that cannot be read: the nearest right one."""
    message, context = error.format_message(), getattr(error, "ctx", None)
    unknown = re.search(r"No such command '(.*?)'", message)
    if unknown and "did you mean" not in message.lower():
        help_line = f"'{context.command_path if context else 'counterpoise'} --help' lists them"
        meant = "'counterpoise new project' makes a project" if unknown[1] == "init" else ""
        return f" {meant or help_line}"
    extra = re.search(r"unexpected extra argument.*\((.*)\)", message)
    if extra is None or context is None:
        return ""
    word = extra[1].split()[0]
    options = [name for parameter in context.command.params for name in parameter.opts]
    hints = []
    with contextlib.suppress(UserError):
        root = project_or_packaged()
        if "--benchmark" in options and word in benchmark_names(root):
            hints.append(f"'-b {word}' for the benchmark")
        if "--record" in options and (root / "results/published" / word).is_dir():
            hints.append(f"'-r {word}' for the published record")
    return f"; did you mean {' or '.join(hints)}?" if hints else f"; see '{context.command_path} --help'"


def _stopped(given: Sequence[str]) -> str:
    """Return what to say of a command that somebody stopped: what became of its work."""
    command = next((word for word in given if not word.startswith("-")), "")
    if command in GO_ON:
        return "stopped; the same command goes on where it was"
    if command in CHANGE_NOTHING and "--measure" not in given:
        return "stopped; nothing was changed"
    return "stopped; the same command starts again"


def _refuse(message: str) -> int:
    print(f"error: {' '.join(message.splitlines())}", file=sys.stderr)
    return 2
