# Seeds: all from the start, or with `seeds: auto` one look after the other. A look is a checkpoint: when its runs are
# there, it says which cells need the seeds of the next one (docs/statistics.md), and the jobs for those are added.

LOOKS = PLAN.benchmark.seed_looks if PLAN.benchmark.sequential else []
LOOK = f"results/looks/{PLAN.digest('report')}/{{look}}.json"


def allotted(before=None):
    """By the name of a cell, how many seeds it has by the looks so far, or by those before one."""
    found = {}
    for look in LOOKS[:-1]:
        if look == before:
            break
        said = read_json(checkpoints.look.get(look=look).output[0], "look")
        found = said["seeds"]
        if not said["more"]:
            break
    return found


def with_seeds(cells, before=None):
    """(cell, its seeds) for each of some cells."""
    if not LOOKS:
        return [(cell, PLAN.seeds) for cell in cells]
    found = allotted(before)
    return [(cell, PLAN.seeds[: found.get(cell.name, LOOKS[0])]) for cell in cells]


if LOOKS:

    localrules:
        look,

    checkpoint look:
        input:
            lambda wildcards: metrics_of(PLAN.cells, before=int(wildcards.look)),
        output:
            LOOK,
        log:
            "logs/look/{look}.log",
        wildcard_constraints:
            look=r"\d+",
        params:
            common=common,
        shell:
            "counterpoise look {wildcards.look} --output {output} {params.common} > {log} 2>&1"
