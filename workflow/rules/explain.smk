# Explanations: a number's factors, each flipped by itself. Nothing here is part of the benchmark: the flips run when
# an explanation is the target. As for tables, what it rests on besides metrics enters as a plan file.


def explanation_inputs(wildcards):
    from counterpoise.judging.explain import ask, question_digest

    try:
        question = ask(PLAN, wildcards.number)
    except UserError as error:
        raise WorkflowError(str(error)) from None
    if question.file_name != wildcards.number:
        raise WorkflowError(
            f"{wildcards.number}: as a target it is called results/explain/{question.file_name}.md"
        )
    if PLAN.benchmark.cells_per_job > 1:
        raise WorkflowError(
            f"{PLAN.path}: an explanation's jobs take one cell each: --config cells_per_job=1"
        )
    digest = question_digest(PLAN, question)
    # Effects are paired: every flip has the seeds of the cell itself.
    ((_, seeds),) = with_seeds([question.cell])
    return [
        *(
            str(cell.run_directory(seed) / PLAN.metrics_name)
            for cell in question.cells
            for seed in seeds
        ),
        f"results/plan/explain-{wildcards.number}.{digest}",
    ]


localrules:
    explain,


rule explain:
    input:
        explanation_inputs,
    output:
        multiext("results/explain/{number}", ".md", ".csv", ".json"),
    log:
        "logs/explain/{number}.log",
    wildcard_constraints:
        number=r"[^/]+",
    params:
        common=common,
    shell:
        "counterpoise explain {wildcards.number:q} --write {params.common} > {log:q} 2>&1"
