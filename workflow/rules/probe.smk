# Linear probes of frozen encoders, for the cells that a table measures so: one rule for each shape of batches, as for runs.

for number, shape in enumerate(CELL_BY_CELL, start=1):

    rule:
        name:
            numbered("probe", number)
        input:
            ancient(run_files("record.json", "weights.safetensors", shape=shape)),
            manifest=data_of(shape),
        output:
            run_files(f"{PLAN.probe_name}.json", f"{PLAN.probe_name}.npz", shape=shape),
        log:
            log_of("probe", shape),
        wildcard_constraints:
            stem=shape.pattern,
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: JOB.mem_mb * attempt,
            runtime=lambda wildcards, attempt: JOB.minutes * attempt,
            gpu=JOB.gpus,
        shell:
            f"counterpoise probe {THIS_CELL} --seeds {seeds_of(shape)}{ENDING}"
            " > {log} 2>&1"
