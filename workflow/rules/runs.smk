# Training and evaluation: a job takes one cell and a batch of seeds. The seeds of a batch stand literally in the
# outputs, so there is one rule per batch: `train` for the first, `train_2`, `train_3` and so on for the others.

JOB = PLAN.benchmark.job


def numbered(name, number):
    return name if number == 1 else f"{name}_{number}"


for number, seeds in enumerate(BATCHES, start=1):

    rule:
        name:
            numbered("train", number)
        input:
            manifest=lambda wildcards: ancient(
                str(cell_of(wildcards).data_directory / "manifest.json")
            ),
        output:
            run_files("record.json", "history.csv", "predictions.npz", seeds=seeds),
        log:
            f"logs/train/{{dataset}}/{{model}}/{{method}}.{{key}}/seeds-{batch_name(seeds)}.log",
        threads: 1
        resources:
            # A further attempt follows one that ran out of memory or time, or that the machine let down.
            mem_mb=lambda wildcards, attempt: JOB.mem_mb * attempt,
            runtime=lambda wildcards, attempt: JOB.minutes * attempt,
            gpu=JOB.gpus,
            attempt=lambda wildcards, attempt: attempt,
        params:
            common=COMMON,
            seeds=",".join(map(str, seeds)),
        shell:
            "counterpoise train {wildcards.dataset}/{wildcards.model}/{wildcards.method}.{wildcards.key}"
            " --seeds {params.seeds} --attempt {resources.attempt} --log {log} {params.common} > {log} 2>&1"

    rule:
        name:
            numbered("evaluate", number)
        input:
            ancient(run_files("record.json", "predictions.npz", seeds=seeds)),
        output:
            run_files(PLAN.metrics_name, seeds=seeds),
        log:
            f"logs/evaluate/{{dataset}}/{{model}}/{{method}}.{{key}}/seeds-{batch_name(seeds)}.log",
        threads: 1
        params:
            common=COMMON,
            seeds=",".join(map(str, seeds)),
        shell:
            "counterpoise evaluate {wildcards.dataset}/{wildcards.model}/{wildcards.method}.{wildcards.key}"
            " --seeds {params.seeds} {params.common} > {log} 2>&1"


def metrics_of(cells):
    return [
        str(cell.run_directory(seed) / PLAN.metrics_name)
        for cell in cells
        for seed in PLAN.seeds
    ]


def records_of(cells):
    return [
        str(cell.run_directory(seed) / "record.json")
        for cell in cells
        for seed in PLAN.seeds
    ]


# The runs themselves are targets: a missing run behind an existing table would not be noticed by the table alone.
rule train_all:
    input:
        records_of(PLAN.cells),


rule runs_all:
    input:
        records_of(PLAN.cells),
        metrics_of(PLAN.cells),
