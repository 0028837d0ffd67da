# The benchmark that this invocation runs, and how rules hand it to the command line.


def benchmark_file():
    files = [str(path) for path in workflow.configfiles] or [DEFAULT_BENCHMARK]
    if len(files) > 1:
        raise WorkflowError(
            f"--configfile: one benchmark at a time, got {', '.join(files)}"
        )
    return files[0]


def overrides():
    """What --config laid over the benchmark file's top-level keys."""
    return typed_overrides(dict(workflow.config_settings.config))


def resolve():
    try:
        return make_plan(Path(), Path(benchmark_file()), overrides())
    except UserError as error:
        raise WorkflowError(str(error)) from None


PLAN = resolve()
SHAPES = batch_shapes(PLAN.benchmark.seed_batches())
BATCHES = PLAN.benchmark.seed_batches()
# With several cells in a job, cells.smk has the rules of runs, probes and measurements, and these shapes are none.
CELL_BY_CELL = SHAPES if PLAN.benchmark.cells_per_job == 1 else []
COMMON = shlex.join(
    [
        "--benchmark",
        str(PLAN.path),
        *(f"--set={key}={value!r}" for key, value in PLAN.overrides.items()),
    ]
)


# A function, because a rule's params that are text are read for wildcards: {braces} in a value of --config are none.
def common(wildcards):
    return COMMON


# The same as the end of a command line, where doubled braces are none: for the rules of runs, of which there may be
# thousands of jobs. A function in a rule costs Snakemake more, job by job, than the rest of the job.
ENDING = " " + COMMON.replace("{", "{{").replace("}", "}}")


wildcard_constraints:
    dataset=r"[^/.]+",
    model=r"[^/]+",
    method=r"[^/.]+",
    key=r"[0-9a-f]+",
    paper=r"[^/.]+",
    table=r"[^/.]+",


def cell_of(wildcards):
    """The cell of the plan, or of an explanation, that a path names."""
    name = f"{wildcards.dataset}/{wildcards.model}/{wildcards.method}.{wildcards.key}"
    try:
        return PLAN.cell(name)
    except UserError as error:
        raise WorkflowError(str(error)) from None


CELL = "{dataset}/{model}/{method}.{key}"
THIS_CELL = "{wildcards.dataset}/{wildcards.model}/{wildcards.method}.{wildcards.key}"


# A job takes a cell and a batch of seeds; a rule, all batches of one shape: they differ in how their seeds' numbers
# begin, which is the wildcard `stem`.


def run_files(*names, shape):
    return [
        f"results/runs/{CELL}/seed-{{stem}}{ending}/{name}"
        for ending in shape.endings
        for name in names
    ]


def log_of(kind, shape):
    seeds = "-".join(f"{{stem}}{ending}" for ending in shape.endings)
    return f"logs/{kind}/{CELL}/seeds-{seeds}.log"


def seeds_of(shape):
    """The seeds of a job of this shape, as its command line names them."""
    return ",".join(f"{{wildcards.stem}}{ending}" for ending in shape.endings)


def manifests_of(cells, seeds):
    """The prepared data that runs of cells train on."""
    return sorted(
        {str(c.data_of(s).directory / "manifest.json") for c in cells for s in seeds}
    )


def data_of(shape):
    """The prepared data that a cell's runs train on."""

    def files(wildcards):
        seeds = shape.seeds(wildcards.stem)
        return ancient(manifests_of([cell_of(wildcards)], seeds))

    return files


def probes_of(shape):
    """The probes that the metrics of a cell's runs take in, if they do."""

    def files(wildcards):
        cell = cell_of(wildcards)
        probe = PLAN.probe_of(cell)
        if probe is None:
            return []
        seeds = shape.seeds(wildcards.stem)
        return ancient(
            [str(cell.run_directory(seed) / f"{probe}.json") for seed in seeds]
        )

    return files
