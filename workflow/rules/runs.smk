# Training and evaluation: a job takes one cell and a batch of seeds. The seeds of a batch stand literally in the
# outputs, so there is one rule per batch: `train` for the first, `train_2`, `train_3` and so on for the others.


rule train:
    input:
        manifest=lambda wildcards: ancient(
            str(cell_of(wildcards).data_directory / "manifest.json")
        ),
    output:
        run_files("record.json", "history.csv", "predictions.npz", seeds=BATCHES[0]),
    log:
        f"logs/train/{{dataset}}/{{model}}/{{method}}.{{key}}/seeds-{batch_name(BATCHES[0])}.log",
    threads: 1
    params:
        common=COMMON,
        seeds=",".join(map(str, BATCHES[0])),
    shell:
        "counterpoise train {wildcards.dataset}/{wildcards.model}/{wildcards.method}.{wildcards.key}"
        " --seeds {params.seeds} {params.common} > {log} 2>&1"


rule evaluate:
    input:
        lambda wildcards: ancient(
            expand(
                run_files("record.json", "predictions.npz", seeds=BATCHES[0]),
                **wildcards,
            )
        ),
    output:
        run_files(PLAN.metrics_name, seeds=BATCHES[0]),
    log:
        f"logs/evaluate/{{dataset}}/{{model}}/{{method}}.{{key}}/seeds-{batch_name(BATCHES[0])}.log",
    threads: 1
    params:
        common=COMMON,
        seeds=",".join(map(str, BATCHES[0])),
    shell:
        "counterpoise evaluate {wildcards.dataset}/{wildcards.model}/{wildcards.method}.{wildcards.key}"
        " --seeds {params.seeds} {params.common} > {log} 2>&1"


for number, seeds in enumerate(BATCHES[1:], start=2):

    use rule train as train_batch with:
        name:
            f"train_{number}"
        output:
            run_files("record.json", "history.csv", "predictions.npz", seeds=seeds),
        log:
            f"logs/train/{{dataset}}/{{model}}/{{method}}.{{key}}/seeds-{batch_name(seeds)}.log",
        params:
            common=COMMON,
            seeds=",".join(map(str, seeds)),

    use rule evaluate as evaluate_batch with:
        name:
            f"evaluate_{number}"
        input:
            lambda wildcards, seeds=seeds: ancient(
                expand(
                    run_files("record.json", "predictions.npz", seeds=seeds),
                    **wildcards,
                )
            ),
        output:
            run_files(PLAN.metrics_name, seeds=seeds),
        log:
            f"logs/evaluate/{{dataset}}/{{model}}/{{method}}.{{key}}/seeds-{batch_name(seeds)}.log",
        params:
            common=COMMON,
            seeds=",".join(map(str, seeds)),


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
