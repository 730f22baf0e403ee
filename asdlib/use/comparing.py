"""Methods held against each other: every job that is still missing, two at a time.

::

    folder/plan.json              what is compared
           epochs/METHOD.json     how many epochs fit into the seconds, if there are any
           jobs/METHOD BUDGET SEED.npz    scores and costs, one file a job
           leaderboard.json, leaderboard.csv, index.html

Whatever stops a comparison, the jobs that were done are there, and the same call goes
on with the others.
"""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from asdlib import methods
from asdlib.errors import AsdError
from asdlib.progress import OnStep, silent
from asdlib.sound.layouts import words_in
from asdlib.sound.scan import scan
from asdlib.use.fitting import digest
from asdlib.use.jobs import EXAMPLES, REHEARSAL, SECONDS, Job, Plan
from asdlib.use.results import read

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
)
LOOK = 0.5  # seconds between two looks at the jobs that run
START = 5.0  # seconds, of a job, before it learns
UNKNOWN = 60.0  # seconds, of a method that does not say


def new_plan(
    data: Path,
    *,
    epochs: int,
    seconds: float | None = None,
    layout: str | None = None,
    words: str | None = None,
    device: str = "cpu",
    cache: Path | None = None,
) -> Plan:
    """The plan of a comparison on ``data``.

    Raises :class:`AsdError` where it cannot be read.
    """
    if data.suffix == ".npz":
        if not data.is_file():
            raise AsdError(f"there is no file {data}: give spectra, or recordings")
        with open(data, "rb") as file:
            found = hashlib.file_digest(file, hashlib.blake2b).hexdigest()[:32]
    else:
        found = digest(scan(data, layout, words_in(words) if words else None))
    place = str(cache.resolve()) if cache else None
    data = data.resolve()
    return Plan(str(data), found, epochs, seconds, layout, words, device, place)


def compare(
    plan: Plan,
    folder: Path,
    names: Sequence[str],
    seeds: Sequence[int],
    *,
    rehearse: int = 0,
    workers: int | None = None,
    on_step: OnStep = silent,
) -> list[Job]:
    """Do all jobs of methods and seeds that ``folder`` does not hold yet; all of them.

    Each method is trained once more, for a rehearsal, with the first ``rehearse`` of
    the seeds.
    ``workers`` at a time (None: one a core), one thread each. Raises :class:`AsdError`
    where the folder holds another comparison, or a job crashes.
    """
    begin(plan, folder)
    seeds_of = {EXAMPLES: seeds, REHEARSAL: seeds[:rehearse]}
    if plan.seconds is not None:
        seeds_of[SECONDS] = seeds
    jobs = [
        Job(seed, budget, name)
        for seed in seeds
        for budget in (EXAMPLES, SECONDS, REHEARSAL)
        if seed in seeds_of.get(budget, ())
        for name in names
    ]
    left = [job for job in jobs if not job.path(folder).exists()]
    clock = Clock(plan)
    for job in jobs:
        if job not in left:
            clock.note(job, folder)
    running: dict[Job, subprocess.Popen[str]] = {}
    begun: dict[Job, float] = {}
    count = workers or os.cpu_count() or 1
    try:
        while left or running:
            while left and len(running) < count:
                job = left.pop(0)
                running[job], begun[job] = start(folder, job), time.monotonic()
            for job, process in list(running.items()):
                if process.poll() is not None:
                    del running[job]
                    check(folder, job, process)
                    clock.note(job, folder)
            now = time.monotonic()
            times = [clock.left([job]) - now + begun[job] for job in running]
            still = clock.still(left, times, count)
            on_step(told(still), len(jobs) - len(left) - len(running), len(jobs))
            time.sleep(LOOK if running else 0)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    return jobs


def begin(plan: Plan, folder: Path) -> None:
    """Make the folder of a comparison, or find that it is the one of this plan.

    Raises :class:`AsdError` where it holds another, or anything else.
    """
    if (folder / "plan.json").exists():
        kept = Plan.read(folder)
        if replace(kept, data=plan.data, cache=plan.cache) != plan:
            raise AsdError(
                f"{folder} holds a comparison on other clips, or with other budgets: "
                "name a new folder"
            )
    elif folder.exists() and any(folder.iterdir()):
        raise AsdError(
            f"{folder} holds something else already, and is left as it is: name a new "
            "folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    plan.write(folder)


def start(folder: Path, job: Job) -> "subprocess.Popen[str]":
    """A process that does one job, in one thread."""
    words = [str(folder), job.method, job.budget, str(job.seed)]
    return subprocess.Popen(
        [sys.executable, "-m", "asdlib.use.jobs", *words],
        env=os.environ | ONE_THREAD,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def check(folder: Path, job: Job, process: "subprocess.Popen[str]") -> None:
    """Raise :class:`AsdError` for a job that left no result."""
    _, error = process.communicate()
    if job.path(folder).exists():
        return
    last = error.strip().splitlines()[-1:] or [f"it ended with {process.returncode}"]
    raise AsdError(
        f"{job.method}, seed {job.seed}, crashed ({last[0]}): what was done is in "
        f"{folder}; leave the method out, or call again"
    )


class Clock:
    """How long jobs take: what is known of those that are done, and a guess at others.

    A job takes as long as the same method with another seed did; before that, as long
    as the method says of itself, times what that was wrong by for the others.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.walls: dict[tuple[str, str], list[float]] = {}

    def note(self, job: Job, folder: Path) -> None:
        """Take down what a job that is done has taken."""
        wall = read(job.path(folder)).costs["wall"]
        self.walls.setdefault((job.method, job.budget), []).append(wall)

    def left(self, jobs: Sequence[Job]) -> float:
        """How many seconds these jobs will take, one after the other."""
        means = {key: sum(x) / len(x) for key, x in self.walls.items()}
        ratios = [mean / self.guess(*key) for key, mean in means.items()]
        off = sum(ratios) / len(ratios) if ratios else 1.0
        return sum(
            means.get(key, off * self.guess(*key))
            for key in ((job.method, job.budget) for job in jobs)
        )

    def still(self, left: Sequence[Job], running: Sequence[float], count: int) -> float:
        """How many seconds until all is done, ``count`` jobs at a time.

        Jobs are ``left``, and others run for so many seconds more (less than none, of a
        job that takes longer than was thought). No job is shared out.
        """
        times = [max(0.0, seconds) for seconds in running]
        each = [self.left([job]) for job in left]
        return max([(sum(times) + sum(each)) / count, *times, *each])

    def guess(self, method: str, budget: str) -> float:
        """Seconds, by what the method says of itself."""
        if budget == SECONDS and self.plan.seconds:
            return START + self.plan.seconds
        able = methods.get(method)
        own = getattr(able, "BUDGET", None)
        share = self.plan.epochs / own.epochs if own else 1.0
        return START + share * getattr(able, "COST", UNKNOWN)


def told(seconds: float) -> str:
    """A time that is left, in words.

    >>> told(40), told(600), told(9000)
    ('1 min left', '10 min left', '2.5 h left')
    """
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h left"
    return f"{max(1, round(seconds / 60))} min left"
