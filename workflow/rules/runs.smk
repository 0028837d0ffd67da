# Training and evaluation: a job takes one cell and a batch of seeds, a rule the batches of one shape: `train` those
# of the first, `train_2`, `train_3` the others (seeds 0 to 29 in fives: 0-4, 10-14, 20-24 and 5-9, 15-19, 25-29). Runs
# that something else is made of (fine-tuning, a probe) keep their weights, too: `train_keeping`, `train_keeping_2`, ...

JOB = PLAN.benchmark.job
KEEPING = sorted(PLAN.cell(name).key for name in PLAN.keeping)
KEPT_KEY = "|".join(KEEPING) or "(?!)"
RUN_FILES = ("record.json", "history.csv", "predictions.npz")


def numbered(name, number):
    return name if number == 1 else f"{name}_{number}"


def starts_from(shape):
    """What the runs of a cell start from: data, its parents' weights, and pretrained ones."""

    def files(wildcards):
        cell = cell_of(wildcards)
        parents = [
            str(parent.run_directory(seed) / "weights.safetensors")
            for _, parent in cell.parents
            for seed in shape.seeds(wildcards.stem)
        ]
        published = weights_of(cell.config["model"])
        weights = parents + [f"data/weights/{weights.file}" for weights in published]
        return ancient(weights + manifests_of([cell], shape.seeds(wildcards.stem)))

    return files


def kinds_of_runs():
    """(name, constraint of the key, files) of the rules for runs without and with weights."""
    yield "train", f"(?!({KEPT_KEY})/)[0-9a-f]+", RUN_FILES
    if KEEPING:
        yield "train_keeping", KEPT_KEY, (*RUN_FILES, "weights.safetensors")


for (kind, keys, names), (number, shape) in itertools.product(
    kinds_of_runs(), enumerate(CELL_BY_CELL, start=1)
):

    rule:
        name:
            numbered(kind, number)
        input:
            starts_from(shape),
        output:
            run_files(*names, shape=shape),
        log:
            log_of("train", shape),
        wildcard_constraints:
            key=keys,
            stem=shape.pattern,
        threads: 1
        resources:
            # A further attempt follows one that ran out of memory or time, or that the machine let down.
            mem_mb=lambda wildcards, attempt: JOB.mem_mb * attempt,
            runtime=lambda wildcards, attempt: JOB.minutes * attempt,
            gpu=JOB.gpus,
            attempt=lambda wildcards, attempt: attempt,
        shell:
            f"counterpoise train {THIS_CELL} --seeds {seeds_of(shape)}"
            " --attempt {resources.attempt} --log {log}"
            f"{ENDING}"
            " > {log} 2>&1"


for number, shape in enumerate(CELL_BY_CELL, start=1):

    rule:
        name:
            numbered("evaluate", number)
        input:
            ancient(run_files("record.json", "predictions.npz", shape=shape)),
            *([probes_of(shape)] if PLAN.probed else []),
        output:
            run_files(PLAN.metrics_name, shape=shape),
        log:
            log_of("evaluate", shape),
        wildcard_constraints:
            stem=shape.pattern,
        threads: 1
        shell:
            f"counterpoise evaluate {THIS_CELL} --seeds {seeds_of(shape)}{ENDING}"
            " > {log} 2>&1"


def metrics_of(cells, before=None):
    return [
        str(cell.run_directory(seed) / PLAN.metrics_name)
        for cell, seeds in with_seeds(cells, before)
        for seed in seeds
    ]


def records_of(cells):
    return [
        str(cell.run_directory(seed) / "record.json")
        for cell, seeds in with_seeds(cells)
        for seed in seeds
    ]


# What `counterpoise plan --budget` chose. Tables of what is there come by `counterpoise salvage`.
def chosen_metrics(wildcards):
    path = Path("results/plan/chosen.txt")
    if not path.is_file():
        raise WorkflowError(
            f"{path}: not there: 'counterpoise plan --budget' writes it"
        )
    names = path.read_text().split()
    planned = {cell.name for cell in PLAN.cells}
    gone = [name for name in names if name not in planned]
    if gone:
        raise WorkflowError(
            f"{path}: '{gone[0]}' is not in {PLAN.path} as it is now: choose again"
        )
    return metrics_of([PLAN.cell(name) for name in names])


localrules:
    train_all,
    runs_all,
    chosen,


rule chosen:
    input:
        chosen_metrics,


# The runs themselves are targets: a missing run behind an existing table would not be noticed by the table alone.
# They are named when they are asked for, not each time the rules are read, which every job does.
def all_records(wildcards):
    return records_of(PLAN.cells)


def all_metrics(wildcards):
    return metrics_of(PLAN.cells)


rule train_all:
    input:
        all_records,


rule runs_all:
    input:
        all_records,
        all_metrics,
