"""A study's queue on several machines: jobs of Slurm, by submitit, that share one folder."""

import time
from pathlib import Path

from drac_jax.runs.execution.stopping import Interrupted
from drac_jax.runs.storage.console import Reporter
from experiments.studies import run_queue
from experiments.studies.catalogue import STUDIES
from experiments.studies.study import Study

JOBS = "jobs"
MARGIN = 300.0  # seconds before a job's end


def submit(
    study: Study, runs_dir: Path, jobs: int, cluster: str, partition: str | None, hours: float
) -> str:
    """Queue jobs that work at the study.

    cluster: `slurm` or `local`; partition: of Slurm; hours: that a job may take. -> what to tell
    the user. Raises ValueError without submitit, or without Slurm.
    """
    try:
        import submitit
    except ImportError:
        raise ValueError(
            "submit needs the package submitit; install it: pip install 'drac_jax[slurm]'"
        ) from None
    place = run_queue.place_of(study, runs_dir).absolute()
    (place / JOBS).mkdir(parents=True, exist_ok=True)
    try:
        executor = submitit.AutoExecutor(place / JOBS, cluster=cluster)
        executor.update_parameters(timeout_min=round(hours * 60), name=study.name)
        if partition:
            executor.update_parameters(slurm_partition=partition)
        seconds = hours * 3600.0 - MARGIN
        sent = [
            executor.submit(work, study.name, str(runs_dir.absolute()), seconds)
            for _ in range(jobs)
        ]
    except (RuntimeError, OSError) as error:
        raise ValueError(f"cannot submit: {error}; use --cluster local to try it here") from None
    names = ", ".join(str(job.job_id) for job in sent)
    return f"jobs {names}, their output in {place / JOBS}; see: study {study.name} status"


def work(name: str, runs_dir: str, seconds: float) -> str:
    """Work at a study, as a job does. -> how it ended."""
    deadline = time.monotonic() + seconds
    try:
        run_queue.work(STUDIES[name], Path(runs_dir), Reporter(), deadline)
    except Interrupted as stop:
        return str(stop)
    return "nothing is left"
