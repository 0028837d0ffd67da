# Counterpoise: a benchmark's tables, from raw data to verdicts.
#
#   snakemake --cores all                                            the default benchmark
#   snakemake --cores all --configfile configs/benchmarks/X.yaml     another one
#   snakemake --cores all --config 'seeds=[0]'                       with a top-level key of it replaced
#
# The benchmark is resolved, and all of its configuration checked, before the first job. A run's path carries the key of
# its configuration, source and data, so a run that is there is right or its files were changed since: what was changed
# is looked for here too (docs/workflow.md). Nothing in this file and the rules imports torch.
import gc
import os
import re
import shlex
from pathlib import Path

import filelock

from counterpoise.cli.closing import CLOSED_BY_CALLER, closing_lines
from counterpoise.cli.session import quieten
from counterpoise.errors import UserError
from counterpoise.planning.benchmark import typed_overrides
from counterpoise.planning.plan import make_plan
from counterpoise.reporting.folding import print_lines
from counterpoise.runs.changed import (
    again_text,
    check_raw_data,
    find_changed,
    made_of,
    write_note,
)
from counterpoise.runs.redo import benchmark_options, relative
from counterpoise.runs.remembered import remember
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import min_version

min_version("9.20")

# Ten thousand runs are millions of objects that live to the end: collecting garbage as often as usual takes a seventh of
# the time of a dry run, and frees nothing. Rarely, not never: a workflow may run for weeks.
gc.set_threshold(500_000, 20, 100)

DEFAULT_BENCHMARK = "configs/benchmarks/digits.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/session.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/report.smk"


localrules:
    all,
    fetch,
    fetch_weights,
    report,
    explain,


rule all:
    default_target: True
    input:
        rules.runs_all.input,
        rules.report.output,
