# What happens around the jobs: one snakemake at a time in this folder, and tables in spite of failures.
import filelock

# Snakemake's own lock outlives a kill and then wants --unlock (the profiles turn it off). This one is gone with its
# process, so that the same command goes on after whatever happened.
LOCK = filelock.FileLock(".snakemake/counterpoise.lock")


onstart:
    if workflow.is_main_process:
        try:
            LOCK.acquire(timeout=0)
        except filelock.Timeout:
            raise WorkflowError(
                f"another snakemake is at work in {Path().resolve()}: wait for its end, or stop it first"
            ) from None


onerror:
    if workflow.is_main_process:
        shell("counterpoise salvage {COMMON} || true")
