# Tables, comparison and report. Their paths are fixed, so what they rest on besides metrics (which cells, printed
# values, source) enters as a plan file named by its digest: another digest is a file that does not exist yet.


def plan_file(what):
    return f"results/plan/{what}.{PLAN.digest(what)}"


def cells_of(paper, table=None):
    return list(
        {
            value.cell.name: value.cell
            for value in PLAN.values
            if value.cell is not None
            and value.paper == paper
            and table in (None, value.table)
        }.values()
    )


# A rule names each file that it rests on once: the comparison rests on its tables' runs, and the report on the
# comparisons', through those. With thousands of runs, every further mention of each costs seconds.
def tables_of(paper):
    return [
        f"results/tables/{of}/{table}.csv" for of, table in PLAN.tables if of == paper
    ]


def in_no_table():
    shown = {value.cell.name for value in PLAN.values if value.cell is not None}
    return [cell for cell in PLAN.cells if cell.name not in shown]


PAPERS = list(PLAN.papers)
COMPARED = [".csv", ".claims.csv", ".rankings.csv", ".seeds.csv", ".summary.json"]


localrules:
    plan_file,
    table,
    compare,
    report,
    tables_all,
    report_all,


# An explanation is no input of the report: its flips would be part of the benchmark. So what explanations there are
# enters with the plan file's name.
def report_plan_file():
    found = {
        path.name: sha256_file(path) for path in Path("results/explain").glob("*.*")
    }
    return plan_file("report") + (short_key(found) if found else "")


rule plan_file:
    output:
        "results/plan/{what}.{digest,[0-9a-f]+}",
    shell:
        # Older digests go, so that going back to one of them makes its file, and what rests on it, anew.
        "rm -f results/plan/{wildcards.what:q}.* && touch {output:q}"


rule table:
    input:
        lambda wildcards: metrics_of(cells_of(wildcards.paper, wildcards.table)),
        plan=lambda wildcards: plan_file(f"{wildcards.paper}-{wildcards.table}"),
    output:
        multiext("results/tables/{paper}/{table}", ".md", ".csv", ".tex", ".html"),
    log:
        "logs/table/{paper}-{table}.log",
    params:
        common=common,
    shell:
        "counterpoise table {wildcards.paper} {wildcards.table} {params.common} > {log} 2>&1"


rule compare:
    input:
        lambda wildcards: tables_of(wildcards.paper),
        plan=lambda wildcards: plan_file(wildcards.paper),
    output:
        multiext("results/comparison/{paper}", *COMPARED),
    log:
        "logs/compare/{paper}.log",
    params:
        common=common,
    shell:
        "counterpoise compare {wildcards.paper} {params.common} > {log} 2>&1"


rule report:
    input:
        lambda wildcards: metrics_of(in_no_table()),
        expand("results/comparison/{paper}.csv", paper=PAPERS),
        [
            f"results/figures/{planned.id}{suffix}"
            for planned in PLAN.figures
            for suffix in (".csv", ".svg")
        ],
        plan=report_plan_file(),
    output:
        "results/report/index.html",
        "results/report/manifest.json",
        "results/summary.json",
    log:
        "logs/report.log",
    params:
        common=common,
    shell:
        "counterpoise report {params.common} > {log} 2>&1"


# Plan files are targets too: an intermediate file that is missing behind an existing table is not noticed.
rule tables_all:
    input:
        [plan_file(f"{paper}-{table}") for paper, table in PLAN.tables],
        [plan_file(paper) for paper in PAPERS],
        [
            f"results/tables/{paper}/{table}{suffix}"
            for paper, table in PLAN.tables
            for suffix in (".md", ".csv", ".tex", ".html")
        ],
        [
            f"results/comparison/{paper}{suffix}"
            for paper in PAPERS
            for suffix in COMPARED
        ],


rule report_all:
    input:
        report_plan_file(),
        rules.report.output,
