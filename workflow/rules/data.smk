# From sources to prepared arrays. Prepared data is named by its key, so it is made once and never again.

DATA = {data.directory.name: data for data in PLAN.datasets}
WEIGHTS_BY_FILE = {
    weights.file: weights.name
    for cell in PLAN.cells
    for weights in weights_of(cell.config["model"])
}


# Compute nodes often have no way out: what fetches runs where snakemake was started.
localrules:
    fetch,
    fetch_all,
    prepare_all,


rule fetch:
    output:
        receipt="data/raw/{dataset}.{key}.json",
    log:
        "logs/fetch/{dataset}.{key}.log",
    retries: 2
    params:
        common=common,
    shell:
        "counterpoise fetch {wildcards.dataset}.{wildcards.key} --receipt {output.receipt} {params.common}"
        " > {log} 2>&1"


rule prepare:
    input:
        receipt=ancient("data/raw/{dataset}.{key}.json"),
    output:
        manifest="data/prepared/{dataset}.{key}/manifest.json",
    log:
        "logs/prepare/{dataset}.{key}.log",
    params:
        common=common,
    shell:
        "counterpoise prepare {wildcards.dataset}.{wildcards.key} {params.common} > {log} 2>&1"


rule fetch_weights:
    output:
        "data/weights/{file}",
    log:
        "logs/fetch/weights/{file}.log",
    retries: 2
    params:
        common=common,
        name=lambda wildcards: next(
            name for name, weights in WEIGHTS.items() if weights.file == wildcards.file
        ),
    shell:
        "counterpoise fetch-weights {params.name} {params.common} > {log} 2>&1"


rule fetch_all:
    input:
        expand("data/raw/{name}.json", name=DATA),
        expand("data/weights/{file}", file=WEIGHTS_BY_FILE),


rule prepare_all:
    input:
        expand("data/prepared/{name}/manifest.json", name=DATA),
