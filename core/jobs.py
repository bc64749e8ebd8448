"""Trainings that outlive whoever started them: a queue on disk, one at a time, and what each is doing.

Beside the runs, so that a run's own folder never holds a path or a process of this machine:

data/runs/.jobs/turn      locked by the training whose turn it is; the next in line waits for it
data/runs/.jobs/NAME/     one folder a training
  order.json     what was asked: arguments of `python -m core train`, place in the queue
  progress.json  what it is doing, rewritten at most once a second
  steps.csv      one row a second or so: seconds, epoch, loss, learning_rate, images_per_second
  log.txt        all that it printed
  alive          locked by its process from its first moment to its last, however it ends
  stop           there once someone asked it to stop

A lock ends with the process that holds it, so a dead process is never taken for a live one, nor another
process that got its number for it. Windows has no such locks: there `python -m core train` works, alone.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from core import runs
from core.errors import LungLensError, RunError
from core.order import Request, check_name

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FOLDER = ".jobs"
CHECKPOINT = "checkpoint.pt"
INHERITED = "LUNGLENS_JOB"
"""In a started process's environment: the number under which it already holds its lock `alive`."""

EVERY = 1.0
"""Seconds between two writings of progress.json."""

PAUSE = 0.25
"""Seconds between two looks at the queue."""

LAST_LINES, LOG_BYTES = 12, 16_384
LOCK_ATTEMPTS = 20
ACTIVE = ("queued", "preparing", "training", "finishing")
ENDED = ("finished", "stopped", "failed", "died")
STEP_COLUMNS = ("seconds", "epoch", "loss", "learning_rate", "images_per_second")


@dataclass(frozen=True)
class Status:
    """What a training is doing, as anyone who looks sees it.

    state         one of ACTIVE or ENDED; "died": its process is gone and left no word
    ahead         trainings before it in the queue
    epoch, epochs   whole epochs whose weights are safe, and asked for
    step, steps   of the epoch under way
    images, of_images   read so far, while preparing
    seconds_left  to the last epoch's end, None where not yet known
    error         of a failed one: name, found, expected, or what its log says last
    messages      the last lines of its log
    arguments     of `python -m core train`, as it was asked for
    resumable     whether Resume has something to go on with
    stopping      someone asked it to stop, and it has not ended yet
    """

    name: str
    state: str
    ticket: int = 0
    ahead: int = 0
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    images: int = 0
    of_images: int = 0
    images_per_second: float | None = None
    seconds_left: float | None = None
    started: float | None = None
    updated: float | None = None
    error: str = ""
    messages: tuple[str, ...] = ()
    resumable: bool = False
    stopping: bool = False
    arguments: tuple[str, ...] = ()

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


def can_start() -> bool:
    """Whether this system can run trainings in the background, one at a time."""
    return fcntl is not None


def start(request: Request) -> None:
    """Queue a new training in a process of its own. Raises RunError or ConfigError for what cannot begin."""
    request.order()
    if (runs.RUNS / request.name).exists():
        raise RunError(request.name, "a run of that name", "another name")
    _spawn(request.name, request.arguments(), request.arguments())


def resume(name: str) -> None:
    """Queue a training that was stopped, failed or died; one without a checkpoint begins anew."""
    folder, run = _folder(name), runs.RUNS / name
    arguments = _read(folder / "order.json").get("arguments", [])
    if (run / CHECKPOINT).is_file():
        _spawn(name, arguments, ["--resume", name])
    elif run.exists() or not arguments:
        found = "a finished run" if (run / "model.onnx").exists() else f"no {CHECKPOINT}"
        raise RunError(name, found, "a run that was stopped in its training")
    else:
        _spawn(name, arguments, arguments)


def stop(name: str) -> None:
    """Ask a training to end; what it learned since its last whole epoch is lost. Nothing where it has ended."""
    folder = _folder(name)
    if not _held(folder / "alive"):
        return
    (folder / "stop").touch()
    pid = _read(folder / "progress.json").get("pid")
    if pid and _held(folder / "alive"):
        os.kill(pid, signal.SIGTERM)


def status(name: str) -> Status | None:
    """What a training is doing, or None where nothing is known of it."""
    folder, run = _folder(name), runs.RUNS / name
    alive = _held(folder / "alive")
    order, progress = _read(folder / "order.json"), _read(folder / "progress.json")
    resumable = not alive and (run / CHECKPOINT).is_file() and not (run / "model.onnx").exists()
    if not order and not resumable:
        return None
    state = _state(folder, run, alive, progress.get("state"))
    if state is None:
        return None
    known = {name: value for name, value in progress.items() if name in Status.__dataclass_fields__}
    messages = _last_lines(folder / "log.txt")
    if state == "failed" and not progress.get("error"):
        known["error"] = messages[-1] if messages else ""
    known |= {"name": name, "state": state, "messages": messages, "ticket": order.get("ticket", 0)}
    if state not in ("finished", "queued"):
        known["epoch"] = _epochs_done(run)
    known["ahead"] = _ahead(known["ticket"]) if state == "queued" else 0
    known["stopping"] = alive and state in ACTIVE and (folder / "stop").exists()
    restartable = state in ("stopped", "failed", "died") and bool(order.get("arguments")) and not run.exists()
    return Status(**known, resumable=resumable or restartable, arguments=tuple(order.get("arguments", ())))


def listed() -> list[Status]:
    """All trainings of which something is known: the one whose turn it is, the queue, then the newest first."""
    names = {path.parent.name for path in (runs.RUNS / FOLDER).glob("*/order.json")}
    names |= {path.parent.name for path in runs.RUNS.glob(f"*/{CHECKPOINT}") if path.parent.name[0] != "."}
    found = [known for known in map(status, names) if known]
    first = [known for known in found if known.active]
    first.sort(key=lambda known: (known.state == "queued", known.ticket))
    ended = sorted((known for known in found if not known.active), key=lambda known: (-known.ticket, known.name))
    return first + ended


def steps(name: str) -> dict[str, list[float]]:
    """The columns of a training's steps.csv, rows that were trained anew after a stop left out."""
    try:
        lines = (_folder(name) / "steps.csv").read_text(encoding="utf-8").splitlines()[1:]
    except OSError:
        lines = []
    rows, least = [], float("inf")
    for line in reversed(lines):
        values = line.split(",")
        try:
            row = [float(value) for value in values]
        except ValueError:  # a full disk may leave half a row
            continue
        if len(row) == len(STEP_COLUMNS) and row[1] < least:
            rows.append(row)
            least = row[1]
    rows.reverse()
    return {name: [row[place] for row in rows] for place, name in enumerate(STEP_COLUMNS)}


class Turn:
    """Inside, it is this process's turn to train, and `tell` keeps what it is doing readable for others.

    `with Turn(request) as turn: train(order, tell=turn.tell)`. Waits in line on entering. SIGTERM ends the
    work as Ctrl+C does.
    """

    def __init__(self, name: str, request: Request | None = None) -> None:
        check_name(name)
        self.name, self.request, self.folder = name, request, _folder(name)
        self.known: dict[str, Any] = {}
        self.locks: list[int] = []
        self.began = self.written = 0.0  # by the clock that nobody sets
        self.before: Any = None

    def __enter__(self) -> "Turn":
        if fcntl is None:
            return self
        self.folder.mkdir(parents=True, exist_ok=True)
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGTERM, _as_interrupt)
        if INHERITED in os.environ:
            self.locks.append(int(os.environ.pop(INHERITED)))
        else:
            alive = _lock(self.folder / "alive")
            if alive is None:
                raise RunError(self.name, "a training that is under way", "one that has ended, or another name")
            self.locks.append(alive)
            arguments = self.request.arguments() if self.request else None
            _write_order(self.folder, arguments)
        self.began, self.known = time.monotonic(), {"pid": os.getpid(), "started": time.time()}
        try:
            self._wait()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def tell(self, **facts: Any) -> None:
        """Say what is being done; written when the state changes, else at most every EVERY seconds."""
        changed = facts.get("state") != self.known.get("state")
        self.known |= facts
        if changed or time.monotonic() - self.written >= EVERY:
            self._write()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if fcntl is None:
            return
        if kind is None:
            facts = {"state": "finished"}
        elif issubclass(kind, KeyboardInterrupt):
            facts = {"state": "stopped"}
        else:
            facts = {"state": "failed", "error": str(error) if isinstance(error, LungLensError) else ""}
            if not facts["error"]:
                facts["error"] = f"{kind.__name__}: {error}"
        self.known |= facts
        self._write()
        for lock in reversed(self.locks):
            os.close(lock)
        if self.before is not None:
            signal.signal(signal.SIGTERM, self.before)

    def _wait(self) -> None:
        self.known["state"] = "queued"
        self._write()
        ticket, told = _read(self.folder / "order.json").get("ticket", 0), False
        while True:
            if (self.folder / "stop").exists():
                raise KeyboardInterrupt
            turn = None if _ahead(ticket, queued_only=True) else _lock(runs.RUNS / FOLDER / "turn")
            if turn is not None:
                self.locks.append(turn)
                self.began = time.monotonic()
                self.tell(state="preparing", started=time.time())
                return
            if not told:
                print("waiting for another training to end", file=sys.stderr, flush=True)
                told = True
            time.sleep(PAUSE)

    def _write(self) -> None:
        if fcntl is None:
            return
        self.written = time.monotonic()
        with suppress(OSError):  # a disk that is full for a while must not end a training that only tells of itself
            self._write_files()

    def _write_files(self) -> None:
        self.known["updated"] = time.time()
        _replace(self.folder / "progress.json", self.known)
        known = self.known
        if known.get("state") == "training" and known.get("steps"):
            path = self.folder / "steps.csv"
            row = (
                round(self.written - self.began, 1),
                round(known["epoch"] + known["step"] / known["steps"], 5),
                *(known[name] for name in STEP_COLUMNS[2:]),
            )
            header = "" if path.exists() else ",".join(STEP_COLUMNS) + "\n"
            with path.open("a", encoding="utf-8") as file:
                file.write(header + ",".join(f"{value:.6g}" for value in row) + "\n")


def _as_interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _folder(name: str) -> Path:
    check_name(name)
    return runs.RUNS / FOLDER / name


def _spawn(name: str, arguments: list[str], now: list[str]) -> None:
    """Start `python -m core train` on its own: no terminal, no parent, its lock held before it runs a line."""
    if fcntl is None:
        raise RunError(name, "Windows", "Linux or macOS to train in the background; else python -m core train")
    try:
        _spawn_in(_folder(name), name, arguments, now)
    except (OSError, subprocess.SubprocessError) as error:
        found = f"{runs.RUNS.name} where nothing can be written or started ({error})"
        raise RunError(name, found, "space on the disk and leave to write there") from error


def _spawn_in(folder: Path, name: str, arguments: list[str], now: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    alive = _lock(folder / "alive")
    if alive is None:
        raise RunError(name, "a training that is under way", "one that has ended, or another name")
    try:
        _write_order(folder, arguments)
        if now == arguments:  # a new training, not one that goes on
            (folder / "steps.csv").unlink(missing_ok=True)
            (folder / "log.txt").unlink(missing_ok=True)
        # Threads that wait do not spin: the cores belong to the dashboard, too.
        environment = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ
        environment |= {INHERITED: str(alive), "LUNGLENS_RUNS": str(runs.RUNS.resolve())}
        # The shell ends at once, so that nobody has to wait for the training's end.
        command = ["/bin/sh", "-c", '"$@" &', "sh", sys.executable, "-m", "core", "train", *now]
        with (folder / "log.txt").open("ab") as log:
            subprocess.run(
                command,
                cwd=Path(__file__).resolve().parent.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[alive],
                check=True,
            )
    finally:
        os.close(alive)


def _write_order(folder: Path, arguments: list[str] | None) -> None:
    """A new place at the queue's end; None keeps the arguments that the training began with."""
    kept = _read(folder / "order.json").get("arguments", []) if arguments is None else arguments
    for old in ("progress.json", "stop"):
        (folder / old).unlink(missing_ok=True)
    _replace(folder / "order.json", {"arguments": kept, "ticket": _last_ticket() + 1})


def _last_ticket() -> int:
    """The highest number in the queue, at least the time: a clock that is set back lets nobody jump the queue."""
    given = (_read(path).get("ticket", 0) for path in (runs.RUNS / FOLDER).glob("*/order.json"))
    return max([time.time_ns(), *(ticket for ticket in given if isinstance(ticket, int))])


def _state(folder: Path, run: Path, alive: bool, told: str | None) -> str | None:
    """What is true now, of what the process told last; None where all of it was deleted."""
    if alive:
        return told or "queued"
    if (run / "model.onnx").exists():
        return "finished"
    if told == "finished":
        return None
    if told in ENDED:
        return told
    return "stopped" if (folder / "stop").exists() or not (folder / "order.json").exists() else "died"


def _ahead(ticket: int, queued_only: bool = False) -> int:
    """How many live trainings have an earlier ticket; `queued_only`: of those that wait themselves."""
    count = 0
    for path in (runs.RUNS / FOLDER).glob("*/order.json"):
        if _read(path).get("ticket", 0) < ticket and _held(path.parent / "alive"):
            state = _read(path.parent / "progress.json").get("state", "queued")
            count += state == "queued" or (not queued_only and state in ACTIVE)
    return count


def _epochs_done(run: Path) -> int:
    """Whole epochs in a run's history."""
    try:
        with (run / "history.csv").open(encoding="utf-8") as file:
            return max(0, sum(1 for _ in file) - 1)
    except OSError:
        return 0


def _last_lines(path: Path) -> tuple[str, ...]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ()
    return tuple(line.rstrip() for line in text.splitlines() if line.strip())[-LAST_LINES:]


def _lock(path: Path) -> int | None:
    """The open file under which the lock is held, or None where another process holds it.

    One that only asks (`_held`) has it for a moment, so this tries for a while.
    """
    held = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    for attempt in range(LOCK_ATTEMPTS):
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return held
        except BlockingIOError:
            time.sleep(0.01 * (attempt + 1 < LOCK_ATTEMPTS))
    os.close(held)
    return None


def _held(path: Path) -> bool:
    """Whether a process holds the lock. Those who ask share it, so that they do not take each other for one."""
    if fcntl is None:
        return False
    try:
        asking = os.open(path, os.O_RDONLY)  # the folder may be one that is only read
    except OSError:
        return False
    try:
        fcntl.flock(asking, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(asking)


def _read(path: Path) -> dict[str, Any]:
    """A JSON object, or nothing where there is none: these files come and go while others look."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _replace(path: Path, content: dict[str, Any]) -> None:
    """Write in one step, without waiting for the disk: after a loss of power these files mean nothing."""
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    part.write_text(json.dumps(content), encoding="utf-8")
    os.replace(part, path)
