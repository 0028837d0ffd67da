# Around the jobs: one Snakemake at a time in this folder, one line per job on the terminal, results after a failure too.
# Snakemake's own lock outlives a kill and then wants --unlock (the profiles turn it off). This one ends with its process,
# so that the same command goes on after whatever happened.
LOCK = filelock.FileLock(".snakemake/counterpoise.lock")

if workflow.is_main_process:
    quieten(logger)


onstart:
    if workflow.is_main_process:
        try:
            LOCK.acquire(timeout=0)
        except filelock.Timeout:
            raise WorkflowError(
                f"another snakemake is at work in {Path().resolve()}: wait for its end, or stop it first"
            ) from None
        except OSError as error:
            raise WorkflowError(
                f"{LOCK.lock_file}: cannot be locked ({error.strerror}); put the project's folder on a local disk, or "
                "have it mounted with flock"
            ) from None
        remember(PLAN, Path())


onsuccess:
    if workflow.is_main_process and CLOSED_BY_CALLER not in os.environ:
        print_lines(closing_lines(Path(BASIS).parent))


# A failed or interrupted benchmark has results too: of what is finished, marked as partial, with what failed and why.
onerror:
    # Not where the lock was another's: that one is at work on the same files.
    if workflow.is_main_process and LOCK.is_locked:
        shell("counterpoise report {SETTINGS} || true")
