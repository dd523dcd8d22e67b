"""Questions that take longer than a client wants to wait."""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock

from exp_platform.errors import StorageError, UnpublishedError
from exp_platform.pipelines.ask import Answer


class JobStatus(StrEnum):
    """Where a job stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Job:
    """One question under way.

    Attributes:
        holder: whose token asked; nobody else sees it.
    """

    job_id: str
    holder: str
    future: "Future[Answer]"

    @property
    def status(self) -> JobStatus:
        """Running, done or failed."""
        if not self.future.done():
            return JobStatus.RUNNING
        failed = self.future.exception() is not None
        return JobStatus.FAILED if failed else JobStatus.DONE


class Jobs:
    """A bounded pool: what does not fit is refused, old answers are forgotten.

    Args:
        workers: questions answered at once.
        waiting: jobs that may be unfinished at once.
        kept: finished jobs that are remembered.
    """

    def __init__(self, workers: int = 2, *, waiting: int = 32, kept: int = 64) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="query")
        self._waiting, self._kept = waiting, kept
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = Lock()

    def submit(self, holder: str, work: Callable[[], Answer]) -> Job:
        """Begin a job.

        Raises:
            StorageError: too many are unfinished.
        """
        with self._lock:
            running = sum(not job.future.done() for job in self._jobs.values())
            if running >= self._waiting:
                raise StorageError(
                    "too many questions are waiting",
                    found=str(running),
                    allowed=f"{self._waiting} at once",
                    next_step="ask again in a while",
                )
            job = Job(secrets.token_hex(8), holder, self._pool.submit(work))
            self._jobs[job.job_id] = job
            self._forget_old()
        return job

    def find(self, holder: str, job_id: str) -> Job:
        """One holder's job.

        Raises:
            UnpublishedError: there is none by that id, or it is someone else's.
        """
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None or job.holder != holder:
            raise UnpublishedError(
                f"no job {job_id!r}", next_step="ask again: old answers are forgotten"
            )
        return job

    def wait(self, job: Job, seconds: float) -> bool:
        """Wait for a job; False when it takes longer."""
        try:
            job.future.exception(timeout=seconds)
        except FutureTimeout:
            return False
        return True

    def close(self) -> None:
        """Take no more; what waits is dropped, what runs is finished."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _forget_old(self) -> None:
        done = [name for name, job in self._jobs.items() if job.future.done()]
        for name in done[: max(0, len(done) - self._kept)]:
            del self._jobs[name]
