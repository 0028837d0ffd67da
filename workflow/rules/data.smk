# From sources to prepared arrays. Prepared data is named by its key, so it is made once and never again.

DATA = {data.directory.name: data for data in PLAN.datasets}


rule fetch:
    output:
        receipt="data/raw/{dataset}.{key}.json",
    log:
        "logs/fetch/{dataset}.{key}.log",
    retries: 2
    params:
        common=COMMON,
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
        common=COMMON,
    shell:
        "counterpoise prepare {wildcards.dataset}.{wildcards.key} {params.common} > {log} 2>&1"


rule fetch_all:
    input:
        expand("data/raw/{name}.json", name=DATA),


rule prepare_all:
    input:
        expand("data/prepared/{name}/manifest.json", name=DATA),
