# Figures: measurements on kept weights where one needs them, a CSV from what the runs left, pictures from the CSV.
# As for tables, what a figure rests on besides its runs enters as a plan file named by its digest.

FIGURES = {planned.id: planned for planned in PLAN.figures}


def measured():
    return [
        str(cell.run_directory(seed) / f"{PLAN.measure_name(kind)}.csv")
        for name, kinds in PLAN.measured.items()
        for kind in sorted(kinds)
        for cell, seeds in with_seeds([PLAN.cell(name)])
        for seed in seeds
    ]


def figure_plan(planned):
    what = planned.id.replace("/", "-")
    return f"results/plan/figure-{what}.{PLAN.figure_digest(planned)}"


def figure_inputs(wildcards):
    planned = FIGURES[f"{wildcards.paper}/{wildcards.figure}"]
    cells = [cell for _, cell, _ in planned.cells if cell is not None]
    if planned.figure.table:
        cells = cells_of(planned.figure.paper, planned.figure.table)
    kind = planned.figure.measure
    measured = [
        str(cell.run_directory(seed) / f"{PLAN.measure_name(kind)}.csv")
        for cell, seeds in with_seeds(cells if kind else [])
        for seed in seeds
    ]
    return [*metrics_of(cells), *measured, figure_plan(planned)]


for number, shape in enumerate(CELL_BY_CELL, start=1):
    for kind in sorted({kind for kinds in PLAN.measured.values() for kind in kinds}):

        rule:
            name:
                numbered(f"measure_{kind}", number)
            input:
                ancient(run_files("record.json", "weights.safetensors", shape=shape)),
                manifest=data_of(shape),
            output:
                run_files(f"{PLAN.measure_name(kind)}.csv", shape=shape),
            log:
                log_of(f"measure/{kind}", shape),
            wildcard_constraints:
                stem=shape.pattern,
            threads: 1
            resources:
                mem_mb=lambda wildcards, attempt: JOB.mem_mb * attempt,
                runtime=lambda wildcards, attempt: JOB.minutes * attempt,
                gpu=JOB.gpus,
            shell:
                f"counterpoise measure {kind} {THIS_CELL} --seeds {seeds_of(shape)}{ENDING}"
                " > {log} 2>&1"


rule figure:
    input:
        figure_inputs,
    output:
        multiext("results/figures/{paper}/{figure}", ".csv", ".svg", ".png"),
    log:
        "logs/figure/{paper}-{figure}.log",
    wildcard_constraints:
        figure=r"[^/.]+",
    params:
        common=common,
    shell:
        "counterpoise figure {wildcards.paper} {wildcards.figure} {params.common} > {log} 2>&1"


# The measurements alone: they are kept with the runs that they were made on.
rule measures_all:
    input:
        lambda wildcards: measured(),


rule figures_all:
    input:
        [figure_plan(planned) for planned in PLAN.figures],
        [
            f"results/figures/{name}{suffix}"
            for name in FIGURES
            for suffix in (".csv", ".svg", ".png")
        ],
