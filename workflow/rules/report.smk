# Everything derived from a benchmark's runs, in one step: results table, tables, comparison, figures, report. It is
# written as a whole into results/<benchmark>/, with a basis.json that says what it rests on.


# Runs are ancient inputs: their times say nothing. Not so where this is made again because a run is: Snakemake passes
# over a job whose inputs are made again but are ancient and exist, whatever other reason there is for it.
def reported_files(wildcards):
    files = run_files() + measured_files()
    note = changed(BASIS)
    return files + note if note else ancient(files)


rule report:
    input:
        reported_files,
    output:
        update(BASIS),
    log:
        f"logs/report/{PLAN.benchmark.name}.log",
    params:
        settings=SETTINGS,
    message:
        "report"
    shell:
        "counterpoise report {params.settings} >> {log} 2>&1"


# An explanation flips a number's factors one by one. Its runs are no part of the benchmark: they are trained when the
# explanation is the target. It is written whenever it is asked for: it takes seconds, and rests on more than its inputs.
def explanation_inputs(wildcards):
    # Imported here: it takes over a second, and few invocations explain anything.
    from counterpoise.runs.explain import ask

    question = asked(ask, PLAN, Path(), wildcards.number)
    cells = [asked(PLAN.cell, name) for name in question.cells]
    runs = [cell.run_directory(seed) for cell in cells for seed in PLAN.seeds]
    probe = PLAN.probe_of(cells[0])
    names = ["record.json", *([f"{probe}.json"] if probe else [])]
    page = f"results/explain/{PLAN.benchmark.name}/{wildcards.number}.md"
    note = write_note({page: "asked for"}, Path())
    return [*ancient([f"{run}/{name}" for run in runs for name in names]), note]


rule explain:
    input:
        explanation_inputs,
    output:
        multiext(
            f"results/explain/{PLAN.benchmark.name}/{{number}}", ".md", ".csv", ".json"
        ),
    log:
        f"logs/explain/{PLAN.benchmark.name}/{{number}}.log",
    wildcard_constraints:
        number=r"[^/]+",
    params:
        settings=SETTINGS,
    message:
        "explain {wildcards.number}"
    shell:
        "counterpoise explain {wildcards.number:q} --write {params.settings} >> {log:q} 2>&1"
