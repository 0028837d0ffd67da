# Runs, their metrics, probes and measurements where a job takes several cells (cells_per_job above 1): one rule per batch
# of cells and seeds, with all outputs literal, in place of the rules with wildcards.


def cell_batches(cells=None):
    """(number, cells, seeds) of every job, numbered from 1."""
    if PLAN.benchmark.cells_per_job > 1:
        jobs = itertools.product(PLAN.cell_batches(cells), BATCHES)
        for number, (batch, seeds) in enumerate(jobs, start=1):
            yield number, batch, seeds


def files_of(batch, seeds, *names):
    return [
        str(cell.run_directory(seed) / name)
        for cell in batch
        for seed in seeds
        for name in names
    ]


def run_files_of(batch, seeds):
    kept = [cell for cell in batch if cell.name in PLAN.keeping]
    weights = files_of(kept, seeds, "weights.safetensors")
    return files_of(batch, seeds, *RUN_FILES) + weights


# Snakemake deletes a job's outputs before it starts. A batch that is done again for one of its cells shall not lose
# the finished runs of the others, which `counterpoise train` then leaves as they are.
def keeping_what_is_there(files):
    return [update(file) if Path(file).is_file() else file for file in files]


def parents_of(batch, seeds):
    """What the runs of a batch start from besides data."""
    parents = [parent for cell in batch for _, parent in cell.parents]
    published = [
        weights for cell in batch for weights in weights_of(cell.config["model"])
    ]
    return files_of(parents, seeds, "weights.safetensors") + [
        f"data/weights/{weights.file}" for weights in published
    ]


def names_of(batch):
    return " ".join(cell.name for cell in batch)


for number, batch, seeds in cell_batches():

    rule:
        name:
            numbered("train_cells", number)
        input:
            ancient(sorted(set(parents_of(batch, seeds) + manifests_of(batch, seeds)))),
        output:
            keeping_what_is_there(run_files_of(batch, seeds)),
        log:
            f"logs/train/cells-{number}.log",
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: JOB.mem_mb * attempt,
            runtime=lambda wildcards, attempt: JOB.minutes * attempt,
            gpu=JOB.gpus,
            attempt=lambda wildcards, attempt: attempt,
        params:
            cells=names_of(batch),
            seeds=",".join(map(str, seeds)),
        shell:
            "counterpoise train {params.cells} --seeds {params.seeds} --attempt {resources.attempt} --log {log}"
            f"{ENDING}"
            " > {log} 2>&1"

    rule:
        name:
            numbered("evaluate_cells", number)
        input:
            ancient(files_of(batch, seeds, "record.json", "predictions.npz")),
            ancient(
                files_of(
                    [cell for cell in batch if cell.name in PLAN.probed],
                    seeds,
                    f"{PLAN.probe_name}.json",
                )
            ),
        output:
            files_of(batch, seeds, PLAN.metrics_name),
        log:
            f"logs/evaluate/cells-{number}.log",
        threads: 1
        params:
            cells=names_of(batch),
            seeds=",".join(map(str, seeds)),
        shell:
            "counterpoise evaluate {params.cells} --seeds {params.seeds}"
            f"{ENDING}"
            " > {log} 2>&1"


for number, batch, seeds in cell_batches(
    PLAN.cell(name) for name in sorted(PLAN.probed)
):

    rule:
        name:
            numbered("probe_cells", number)
        input:
            ancient(files_of(batch, seeds, "record.json", "weights.safetensors")),
            ancient(manifests_of(batch, seeds)),
        output:
            files_of(batch, seeds, f"{PLAN.probe_name}.json", f"{PLAN.probe_name}.npz"),
        log:
            f"logs/probe/cells-{number}.log",
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: JOB.mem_mb * attempt,
            runtime=lambda wildcards, attempt: JOB.minutes * attempt,
            gpu=JOB.gpus,
        params:
            cells=names_of(batch),
            seeds=",".join(map(str, seeds)),
        shell:
            "counterpoise probe {params.cells} --seeds {params.seeds}"
            f"{ENDING}"
            " > {log} 2>&1"


for kind in sorted({kind for kinds in PLAN.measured.values() for kind in kinds}):
    for number, batch, seeds in cell_batches(
        PLAN.cell(name) for name in sorted(PLAN.measured) if kind in PLAN.measured[name]
    ):

        rule:
            name:
                numbered(f"measure_{kind}_of_cells", number)
            input:
                ancient(files_of(batch, seeds, "record.json", "weights.safetensors")),
                ancient(manifests_of(batch, seeds)),
            output:
                files_of(batch, seeds, f"{PLAN.measure_name(kind)}.csv"),
            log:
                f"logs/measure/{kind}/cells-{number}.log",
            threads: 1
            resources:
                mem_mb=lambda wildcards, attempt: JOB.mem_mb * attempt,
                runtime=lambda wildcards, attempt: JOB.minutes * attempt,
                gpu=JOB.gpus,
            params:
                kind=kind,
                cells=names_of(batch),
                seeds=",".join(map(str, seeds)),
            shell:
                "counterpoise measure {params.kind} {params.cells} --seeds {params.seeds}"
                f"{ENDING}"
                " > {log} 2>&1"
