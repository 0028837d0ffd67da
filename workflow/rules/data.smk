# From sources to prepared arrays. Prepared data is named by its key, so it is made once and never again.


# Compute nodes often have no way out: what fetches runs where snakemake was started.
localrules:
    fetch,
    fetch_weights,
    fetch_all,
    prepare_all,


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


rule prepare:
    input:
        receipt=ancient("data/raw/{dataset}.{key}.json"),
    output:
        manifest="data/prepared/{dataset}.{key}/manifest.json",
    log:
        "logs/prepare/{dataset}.{key}.log",
    params:
        settings=SETTINGS,
    message:
        "prepare {wildcards.dataset}"
    shell:
        "counterpoise prepare {wildcards.dataset}.{wildcards.key} {params.settings} >> {log} 2>&1"


rule fetch_weights:
    output:
        "data/weights/{file}",
    log:
        "logs/fetch/weights/{file}.log",
    retries: 2
    params:
        settings=SETTINGS,
        name=lambda wildcards: next(
            name for name, weights in WEIGHTS.items() if weights.file == wildcards.file
        ),
    message:
        "fetch the weights {wildcards.file}"
    shell:
        "counterpoise fetch-weights {params.name} {params.settings} >> {log} 2>&1"


def weights_files():
    models = [cell.config["model"] for cell in PLAN.cells]
    return {weights.file for model in models for weights in weights_of(model)}


rule fetch_all:
    input:
        expand("data/raw/{data}.json", data=[d.directory.name for d in PLAN.datasets]),
        expand("data/weights/{file}", file=weights_files()),


rule prepare_all:
    input:
        [f"{data.directory}/manifest.json" for data in PLAN.datasets],
