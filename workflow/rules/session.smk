# Around the jobs: one Snakemake at a time in this folder, one line per job on the terminal, results after a failure too.


# Snakemake's own lock outlives a kill and then wants --unlock (the profiles turn it off). This one ends with its process,
# so that the same command goes on after whatever happened.
LOCK = filelock.FileLock(".snakemake/counterpoise.lock")


class OneLine:
    """Formats the start and the failure of a job as one line, and everything else as Snakemake does."""

    def __init__(self, default):
        self.default = default

    def format(self, record):
        event = getattr(record, "event", None)
        clock = time.strftime("%H:%M:%S")
        if event == "job_info" and record.rule_msg:
            return f"{clock}  {record.rule_msg}"
        if event == "job_error":
            log = ", ".join(map(str, record.log or ()))
            what = record.rule_msg or record.rule_name
            return f"{clock}  failed: {what}" + (f" (log: {log})" if log else "")
        return self.default.format(record)


def is_worth_a_line(record):
    return not str(record.msg).startswith(("Select jobs to execute", "Execute "))


if workflow.is_main_process:
    for handler in logger.handlers:
        if handler.formatter is not None:
            handler.setFormatter(OneLine(handler.formatter))
            handler.addFilter(is_worth_a_line)


onstart:
    if workflow.is_main_process:
        try:
            LOCK.acquire(timeout=0)
        except filelock.Timeout:
            raise WorkflowError(
                f"another snakemake is at work in {Path().resolve()}: wait for its end, or stop it first"
            ) from None


onsuccess:
    if workflow.is_main_process:
        print("\n".join(closing_lines(PLAN, Path())))


# A failed or interrupted benchmark has results too: of what is finished, marked as partial, with what failed and why.
onerror:
    if workflow.is_main_process and LOCK.is_locked:
        shell("counterpoise report {SETTINGS} || true")
