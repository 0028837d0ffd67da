# A job is a run: one cell and one seed. What a run rests on is in its key, so its inputs are ancient: their times say
# nothing. A run that something else is made of (fine-tuning, a probe, a measurement) keeps its weights, too.

JOB = PLAN.benchmark.job
RUN = "results/runs/{cell}/seed-{seed}"
# A regular expression of the keys of cells that keep their weights. It matches no key where none does: keys are of hex
# digits, and have no "n". An empty expression would match them all.
KEPT_KEYS = sorted(name.rpartition(".")[2] for name in PLAN.keep_weights)
KEEPING = "|".join(KEPT_KEYS) or "none"
# A further attempt follows one that ran out of memory or time, or that the machine let down: it asks for more.
DEVICE = {
    "mem_mb": lambda wildcards, attempt: JOB.mem_mb * attempt,
    "runtime": lambda wildcards, attempt: JOB.minutes * attempt,
    "gpu": JOB.gpus,
}


def starts_from(wildcards):
    """What a run starts from: prepared data, its parents' weights, and pretrained ones."""
    cell, seed = cell_of(wildcards), int(wildcards.seed)
    note = changed(f"{cell.run_directory(seed)}/record.json")
    return [*ancient(cell.starts_from(seed)), *note]


rule train:
    input:
        starts_from,
    output:
        multiext(f"{RUN}/", "record.json", "history.csv", "predictions.npz"),
    log:
        "logs/train/{cell}/seed-{seed}.log",
    # All cells but those of `train_keeping`: two rules that could make one file would be ambiguous.
    wildcard_constraints:
        cell=rf"[^/]+/[^/]+/[^/]+\.(?!({KEEPING})/)[0-9a-f]+",
    # Snakemake tells a rule its attempt in resources only; the command wants to know it, too (decision 012).
    resources:
        **DEVICE,
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
        rules.train.output,
        f"{RUN}/weights.safetensors",
    wildcard_constraints:
        cell=rf"[^/]+/[^/]+/[^/]+\.({KEEPING})",


def measured_on(wildcards):
    """A run that kept its weights; not ancient where it is trained again, so that it is measured again, too."""
    run = RUN.format(**dict(wildcards))
    files = [f"{run}/record.json", f"{run}/weights.safetensors"]
    note = changed("{0}/{kind}.{key}.{suffix}".format(run, **dict(wildcards)))
    return (files if files[0] in CHANGED else ancient(files)) + note


# What is made of a finished run's weights: a linear probe of its encoders for a table (probe.<key>.json, and an .npz
# beside it that the .json names by digest), and measurements for figures (<kind>.<key>.csv).
rule measure:
    input:
        measured_on,
    output:
        f"{RUN}/{{kind}}.{{key}}.{{suffix}}",
    log:
        "logs/measure/{cell}/seed-{seed}.{kind}.{key}.{suffix}.log",
    wildcard_constraints:
        kind=r"[a-z_]+",
        suffix="csv|json",
    resources:
        **DEVICE,
    params:
        settings=SETTINGS,
    message:
        "measure {wildcards.kind} of {wildcards.cell} seed {wildcards.seed}"
    shell:
        "counterpoise measure {wildcards.kind}.{wildcards.key} {wildcards.cell} --seed {wildcards.seed}"
        " {params.settings} >> {log} 2>&1"


# Files are named when they are asked for, not each time the rules are read, which every job of a cluster does.
def run_files(wildcards=None):
    runs = [(cell, seed) for cell in PLAN.cells for seed in PLAN.seeds]
    return [f"{cell.run_directory(seed)}/record.json" for cell, seed in runs]


def measured_files(wildcards=None):
    # An .npz comes with its .json, which names it by digest, and is no output of its own: no rule would make it.
    named = [(c, name) for c in PLAN.cells for name in made_of(PLAN, c)]
    named = [(c, name) for c, name in named if not name.endswith(".npz")]
    return [f"{c.run_directory(s)}/{name}" for c, name in named for s in PLAN.seeds]


rule train_all:
    input:
        run_files,


rule measures_all:
    input:
        measured_files,


rule runs_all:
    input:
        run_files,
        measured_files,
