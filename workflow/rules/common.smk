# The benchmark of this invocation, how rules pass it to the command line, and what was changed since it was written.


def benchmark_file():
    files = [str(path) for path in workflow.configfiles] or [DEFAULT_BENCHMARK]
    if len(files) > 1:
        raise WorkflowError(
            f"--configfile: one benchmark at a time, got {', '.join(files)}"
        )
    return files[0]


def asked(function, *arguments):
    """What a function returns; what it refuses is said in a line, as an error of the workflow."""
    try:
        return function(*arguments)
    except UserError as error:
        raise WorkflowError(str(error)) from None


# Every job of a cluster reads these rules again, in a process of its own. What takes time or writes (looking for changed
# files, the note of them) is done in the main process alone.
OVERRIDES = asked(typed_overrides, dict(workflow.config_settings.config))
PLAN = asked(make_plan, Path(), Path(relative(benchmark_file(), Path())), OVERRIDES)
if workflow.is_main_process:
    asked(check_raw_data, PLAN, Path())
BASIS = f"results/{PLAN.benchmark.name}/basis.json"

# The options that name the benchmark in a rule's command line. They are the text of a rule's `params`, where Snakemake
# would take a {word} for a wildcard: in a value of --config it is none, so its brace is written as an escape.
SETTINGS = shlex.join(benchmark_options(PLAN, Path()))
SETTINGS = re.sub(r"\{(?=\s*\w+\s*[,}])", r"\\x7b", SETTINGS)


wildcard_constraints:
    cell=r"[^/]+/[^/]+/[^/]+\.[0-9a-f]+",
    seed=r"\d+",
    dataset=r"[^/.]+",
    key=r"[0-9a-f]+",


def cell_of(wildcards):
    """The cell of the benchmark, or of an explanation of its numbers, that a path names."""
    return asked(PLAN.cell, wildcards.cell)


# Files that exist are right by their path alone, unless they were changed afterwards. CHANGED has those that must be made
# again, with the reason. A note of them, newer than they are, is then an input of their rules (docs/decisions/018).
CHANGED = find_changed(PLAN, Path()) if workflow.is_main_process else {}
NOTE = [write_note(CHANGED, Path())] if CHANGED else []
if CHANGED:
    logger.info(again_text(CHANGED))


def changed(file):
    return NOTE if file in CHANGED else []
