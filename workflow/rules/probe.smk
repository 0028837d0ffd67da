# Linear probes of frozen encoders, for the cells that a table measures so: one rule per batch of seeds, as for runs.

for number, seeds in enumerate(BATCHES, start=1):

    rule:
        name:
            numbered("probe", number)
        input:
            ancient(run_files("record.json", "weights.safetensors", seeds=seeds)),
            manifest=lambda wildcards: ancient(
                str(cell_of(wildcards).data_directory / "manifest.json")
            ),
        output:
            run_files(f"{PLAN.probe_name}.json", f"{PLAN.probe_name}.npz", seeds=seeds),
        log:
            f"logs/probe/{{dataset}}/{{model}}/{{method}}.{{key}}/seeds-{batch_name(seeds)}.log",
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: JOB.mem_mb * attempt,
            runtime=lambda wildcards, attempt: JOB.minutes * attempt,
            gpu=JOB.gpus,
        params:
            common=COMMON,
            seeds=",".join(map(str, seeds)),
        shell:
            "counterpoise probe {wildcards.dataset}/{wildcards.model}/{wildcards.method}.{wildcards.key}"
            " --seeds {params.seeds} {params.common} > {log} 2>&1"
