"""Long work in the background, one job a key for all visitors: started, watched, stopped, kept when done.

A job's key says all that its result depends on, so a second visitor who asks the same joins the first, and a
repeat finds what was kept. Jobs run one after the other: two at once would each take twice as long.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any

from market.errors import MarketError

WAITING, RUNNING, DONE, STOPPED, FAILED = "waiting", "running", "done", "stopped", "failed"
ABSENT_SECONDS = 5.0
"""A visitor who has not looked for so long has left, and does not keep others from stopping a job."""


@dataclass(eq=False)
class Job:
    """One piece of work; `done` of `total` steps. `result` once its state is DONE, `error` once FAILED."""

    total: int
    state: str = WAITING
    done: int = 0
    result: Any = None
    error: Exception | None = None
    cancel: Event = field(default_factory=Event)
    began: float | None = None
    watchers: dict[str, float] = field(default_factory=dict)

    def advance(self, steps: int) -> None:
        """So many more steps are done."""
        self.done += steps

    @property
    def going(self) -> bool:
        return self.state in (WAITING, RUNNING)

    def seconds_left(self) -> float | None:
        """By the pace so far; None before the first step."""
        if self.began is None or not self.done:
            return None
        return (time.monotonic() - self.began) * (self.total - self.done) / self.done

    def watched_by(self, visitor: str) -> None:
        """Note that this visitor still looks."""
        self.watchers[visitor] = time.monotonic()

    def leave(self, visitor: str) -> bool:
        """Stop the job unless others watch it; whether it was asked to stop."""
        self.watchers.pop(visitor, None)
        now = time.monotonic()
        if any(now - seen < ABSENT_SECONDS for seen in list(self.watchers.values())):
            return False
        self.cancel.set()
        return True


class Jobs:
    """All jobs of the server; `kept` finished ones at most, those asked for last."""

    def __init__(self, kept: int = 8) -> None:
        self._kept = kept
        self._jobs: OrderedDict[Hashable, Job] = OrderedDict()
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="decision")

    def get(self, key: Hashable) -> Job | None:
        """The job of this key, whatever its state."""
        with self._lock:
            job = self._jobs.get(key)
            if job is not None:
                self._jobs.move_to_end(key)
            return job

    def start(self, key: Hashable, total: int, work: Callable[[Job], Any]) -> Job:
        """The job of this key; one that is new, was stopped or failed begins. `work` gives the result.

        It should tell its steps by `job.advance` and raise once `job.cancel` is set.
        """
        with self._lock:
            job = self._jobs.get(key)
            if job is None or job.state in (STOPPED, FAILED) or (job.going and job.cancel.is_set()):
                job = self._jobs[key] = Job(total)
                self._pool.submit(self._run, job, work)
            self._jobs.move_to_end(key)
            finished = [name for name, other in self._jobs.items() if not other.going and other is not job]
            for name in finished[: max(0, len(finished) + 1 - self._kept)]:
                del self._jobs[name]
            return job

    def keep(self, key: Hashable, result: Any) -> Job:
        """A job that is done from the start, its result found elsewhere."""
        job = Job(0, DONE, result=result)
        with self._lock:
            return self._jobs.setdefault(key, job)

    @staticmethod
    def _run(job: Job, work: Callable[[Job], Any]) -> None:
        if job.cancel.is_set():
            job.state = STOPPED
            return
        job.state, job.began = RUNNING, time.monotonic()
        try:
            job.result = work(job)
        except (MarketError, ArithmeticError, LookupError, MemoryError, TypeError, ValueError) as error:
            job.error = error
            job.state = STOPPED if job.cancel.is_set() else FAILED
        else:
            job.done = job.total
            job.state = DONE
