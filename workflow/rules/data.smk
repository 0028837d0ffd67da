# From sources to prepared arrays. Prepared data is named by its key, so it is made once and never again. What fetches
# runs where snakemake was started: compute nodes often have no way out.


rule fetch:
    output:
        receipt="data/raw/{dataset}.{key}.json",
    log:
        "logs/fetch/{dataset}.{key}.log",
    retries: 2
    params:
        settings=SETTINGS,
    message:
        "fetch {wildcards.dataset}"
    shell:
        "counterpoise fetch {wildcards.dataset}.{wildcards.key} --receipt {output.receipt} {params.settings}"
        " >> {log} 2>&1"


rule fetch_weights:
    output:
        "data/weights/{file}",
    log:
        "logs/fetch/weights/{file}.log",
    retries: 2
    params:
        settings=SETTINGS,
    message:
        "fetch the weights {wildcards.file}"
    shell:
        "counterpoise fetch-weights {wildcards.file} {params.settings} >> {log} 2>&1"


def prepare_job(wildcards):
    """What preparing a dataset asks of the machine, from its configuration."""
    return asked(PLAN.dataset, f"{wildcards.dataset}.{wildcards.key}").job


# A further attempt goes on where the one before ran out of memory or time. Fetching again what is there changes the
# time of the receipt and nothing in it: hence ancient.
rule prepare:
    input:
        receipt=ancient("data/raw/{dataset}.{key}.json"),
    output:
        manifest="data/prepared/{dataset}.{key}/manifest.json",
    log:
        "logs/prepare/{dataset}.{key}.log",
    threads: lambda wildcards: prepare_job(wildcards).cores
    resources:
        mem_mb=lambda wildcards, attempt: prepare_job(wildcards).mem_mb * attempt,
        runtime=lambda wildcards, attempt: prepare_job(wildcards).minutes * attempt,
    params:
        settings=SETTINGS,
    message:
        "prepare {wildcards.dataset}"
    shell:
        "counterpoise prepare {wildcards.dataset}.{wildcards.key} --workers {threads} {params.settings}"
        " >> {log} 2>&1"


rule fetch_all:
    input:
        [f"data/raw/{data.directory.name}.json" for data in PLAN.datasets],
        lambda wildcards: {file for cell in PLAN.cells for file in cell.pretrained},


rule prepare_all:
    input:
        [f"{data.directory}/manifest.json" for data in PLAN.datasets],
