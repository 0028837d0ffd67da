# Counterpoise: a benchmark's tables, from raw data to verdicts.
#
#   snakemake --cores all                                            the default benchmark
#   snakemake --cores all --configfile configs/benchmarks/X.yaml     another one
#   snakemake --cores all --config 'seeds=[0]'                       with a top-level key of it replaced
#
# The benchmark is resolved, and all of its configuration checked, before the first job: every run's path carries the
# key of its configuration, source and data (docs/design.md), so that existence alone says whether it is still to be
# done. Nothing here imports torch, nor, before an explanation is asked for, the statistics.
import gc
import itertools
import shlex
from pathlib import Path

from counterpoise.errors import UserError
from counterpoise.files import read_json, sha256_file
from counterpoise.planning.batches import batch_shapes
from counterpoise.planning.benchmark import typed_overrides
from counterpoise.identity import short_key
from counterpoise.planning.plan import make_plan
from counterpoise.weights import WEIGHTS, weights_of
from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.20")

# Ten thousand runs are millions of objects that live to the end: looking for garbage among them as often as usual takes
# a seventh of the time of a dry run, and finds none. Rarely, not never: a workflow may run for weeks.
gc.set_threshold(500_000, 20, 100)

DEFAULT_BENCHMARK = "configs/benchmarks/digits.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/guard.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/looks.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/probe.smk"
include: "workflow/rules/cells.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/explain.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        rules.runs_all.input,
        rules.tables_all.input,
        rules.figures_all.input,
        rules.report_all.input,
