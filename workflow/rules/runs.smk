# A job is a run: one cell and one seed. What a run rests on is in its key, so its inputs are ancient: their times say
# nothing. A run that something else is made of (fine-tuning, a probe, a measurement) keeps its weights, too.

JOB = PLAN.benchmark.job
RUN = "results/runs/{cell}/seed-{seed}"
KEEPING = "|".join(sorted(name.rpartition(".")[2] for name in PLAN.keeping)) or "none"


def starts_from(wildcards):
    """What a run starts from: prepared data, its parents' weights, and pretrained ones."""
    cell, seed = cell_of(wildcards), int(wildcards.seed)
    parents = [parent.run_directory(seed) for _, parent in cell.parents]
    return ancient(
        [f"{cell.data_of(seed).directory}/manifest.json"]
        + [f"{folder}/weights.safetensors" for folder in parents]
        + [f"data/weights/{w.file}" for w in weights_of(cell.config["model"])]
    ) + changed(f"{wildcards.cell}/seed-{wildcards.seed}")


rule train:
    input:
        starts_from,
    output:
        f"{RUN}/record.json",
        f"{RUN}/history.csv",
        f"{RUN}/predictions.npz",
    log:
        "logs/train/{cell}/seed-{seed}.log",
    wildcard_constraints:
        cell=rf"[^/]+/[^/]+/[^/]+\.(?!({KEEPING})/)[0-9a-f]+",
    threads: 1
    resources:
        # A further attempt follows one that ran out of memory or time, or that the machine let down.
        mem_mb=lambda wildcards, attempt: JOB.mem_mb * attempt,
        runtime=lambda wildcards, attempt: JOB.minutes * attempt,
        gpu=JOB.gpus,
        attempt=lambda wildcards, attempt: attempt,
    params:
        settings=SETTINGS,
    message:
        "train {wildcards.cell} seed {wildcards.seed}"
    shell:
        "counterpoise train {wildcards.cell} --seed {wildcards.seed} --attempt {resources.attempt} --log {log}"
        " {params.settings} >> {log} 2>&1"


use rule train as train_keeping with:
    output:
        f"{RUN}/record.json",
        f"{RUN}/history.csv",
        f"{RUN}/predictions.npz",
        f"{RUN}/weights.safetensors",
    wildcard_constraints:
        cell=rf"[^/]+/[^/]+/[^/]+\.({KEEPING})",


# Linear probes of frozen encoders, for the tables that measure unimodal accuracy so.
rule probe:
    input:
        lambda wildcards: [
            *ancient([f"{RUN}/record.json", f"{RUN}/weights.safetensors"]),
            *changed(f"{wildcards.cell}/seed-{wildcards.seed}/probe.{wildcards.key}"),
        ],
    output:
        multiext(f"{RUN}/probe.{{key}}", ".json", ".npz"),
    log:
        "logs/probe/{cell}/seed-{seed}.{key}.log",
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: JOB.mem_mb * attempt,
        runtime=lambda wildcards, attempt: JOB.minutes * attempt,
        gpu=JOB.gpus,
    params:
        settings=SETTINGS,
    message:
        "probe {wildcards.cell} seed {wildcards.seed}"
    shell:
        "counterpoise probe {wildcards.cell} --seed {wildcards.seed} {params.settings} >> {log} 2>&1"


# Measurements of a run's weights, for figures.
rule measure:
    input:
        lambda wildcards: [
            *ancient([f"{RUN}/record.json", f"{RUN}/weights.safetensors"]),
            *changed(
                f"{wildcards.cell}/seed-{wildcards.seed}/{wildcards.kind}.{wildcards.key}"
            ),
        ],
    output:
        f"{RUN}/{{kind}}.{{key}}.csv",
    log:
        "logs/measure/{cell}/seed-{seed}.{kind}.{key}.log",
    wildcard_constraints:
        kind=r"[a-z_]+",
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: JOB.mem_mb * attempt,
        runtime=lambda wildcards, attempt: JOB.minutes * attempt,
        gpu=JOB.gpus,
    params:
        settings=SETTINGS,
    message:
        "measure {wildcards.kind} of {wildcards.cell} seed {wildcards.seed}"
    shell:
        "counterpoise measure {wildcards.kind}.{wildcards.key} {wildcards.cell} --seed {wildcards.seed}"
        " {params.settings} >> {log} 2>&1"


def records():
    return [
        f"{cell.run_directory(seed)}/record.json"
        for cell in PLAN.cells
        for seed in PLAN.seeds
    ]


def measurements():
    """Files of what is measured on finished runs' weights: probes for tables, measurements for figures."""
    return [
        f"{cell.run_directory(seed)}/{name}"
        for cell in PLAN.cells
        for name in (
            *([f"{PLAN.probe_name}.json"] if cell.name in PLAN.probed else []),
            *(f"{PLAN.measure_name(k)}.csv" for k in PLAN.measured.get(cell.name, ())),
        )
        for seed in PLAN.seeds
    ]


localrules:
    train_all,
    measures_all,
    runs_all,


# The files are named when they are asked for, not each time the rules are read, which every job of a cluster does.
rule train_all:
    input:
        lambda wildcards: records(),


rule measures_all:
    input:
        lambda wildcards: measurements(),


rule runs_all:
    input:
        lambda wildcards: records() + measurements(),
