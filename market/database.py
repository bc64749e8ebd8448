"""The market database: staged inputs in one DuckDB file, and the store of scenarios in another.

`lunglens.duckdb` holds nothing that is not in the cited files beside it. It is made on first use and made anew
when their checksums change: into a temporary file, which then takes its place in one step. It is only ever read,
so any number of processes can have it open, while one of them replaces it too.

`scenarios.duckdb` is what people save, in a file of its own that no rebuild touches. DuckDB lets one process at
a time write a file, so `ScenarioStore` opens it for the length of one operation and waits its turn; the threads
of a process share one connection, a cursor each. Rows are only added, each saving is one transaction, and what
was saved before a process is killed is there afterwards.

A damaged file is renamed, never deleted, and `warnings` says so.
"""

import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

import duckdb

from market.errors import DatabaseError, InputError, ParameterError
from market.parameters import DATA, SETTINGS, load_parameters, load_price_index
from market.scenarios import ENGINE_VERSION, Scenario, choices

STAGES = ("parameters", "life_tables", "price_index")
"""Staging tables, in the attached database `market`; each is made by the file of its name in market/sql."""

SQL = Path(__file__).resolve().parent / "sql"
CONFIG = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
"""Nothing is fetched from the network."""

_LOG_DAMAGE = ("Corrupt WAL file", "Failure while replaying WAL")
_DAMAGE = (
    *_LOG_DAMAGE,
    "not a valid DuckDB database file",
    "Corrupt database file",
    "Could not read enough bytes",
    "Failed to deserialize",
)
_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")
_STALE_SECONDS = 3600
_MOST_SET_ASIDE = 3  # files that one opening sets aside: a log, the database, and one more of another process


@cache
def sql(name: str) -> str:
    """The text of market/sql/<name>.sql; InputError naming the files there are for another name."""
    path = SQL / f"{name}.sql"
    if not path.is_file():
        raise InputError("name", repr(name), "one of " + ", ".join(sorted(file.stem for file in SQL.glob("*.sql"))))
    return path.read_text(encoding="utf-8")


# Staged inputs


@dataclass(frozen=True)
class MarketDatabase:
    """An open market database: staging tables as `market.<name>`, and memory for what queries make.

    warnings  what happened at opening that a person should know, such as a damaged file set aside
    """

    connection: duckdb.DuckDBPyConnection
    path: Path
    warnings: tuple[str, ...] = ()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor of its own for a thread; close it after use."""
        return self.connection.cursor()

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> "MarketDatabase":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_database(data: Path = DATA, path: Path | None = None) -> MarketDatabase:
    """The database of the cited files in `data`, built first where there is none or the files have changed.

    `path` is data/lunglens.duckdb where it is not given. Raises ParameterError for inputs that break their
    rules, and DatabaseError where the file is held for writing by another process or cannot be made.
    """
    path = data / "lunglens.duckdb" if path is None else path
    inputs = _input_checksums(data)
    warnings: tuple[str, ...] = ()
    if path.exists():
        try:
            connection = _attached(path)
            if _is_built_from(connection, inputs):
                return MarketDatabase(connection, path)
        except duckdb.Error as error:
            if not _is_damage(error):
                _refuse(path, error)
            warnings = (_set_aside(path, error),)
    _build(path, data, inputs)
    try:
        return MarketDatabase(_attached(path), path, warnings)
    except duckdb.Error as error:
        _refuse(path, error)


def _attached(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection in memory with the file attached for reading.

    DuckDB hands a path that is open already the same instance again, even after the file was replaced; a
    connection in memory of its own sees the new file.
    """
    connection = duckdb.connect(":memory:", config=CONFIG)
    try:
        connection.execute("ATTACH '{}' AS market (READ_ONLY)".format(str(path).replace("'", "''")))
    except duckdb.Error:
        connection.close()
        raise
    return connection


def _is_built_from(connection: duckdb.DuckDBPyConnection, inputs: dict[str, str]) -> bool:
    """Whether the file was made from these inputs; closes the connection where not.

    Every table is read to its end, which finds damaged blocks, and compared with its checksum.
    """
    try:
        recorded = dict(connection.execute("SELECT input, checksum FROM market.build_inputs").fetchall())
        tables = connection.execute("SELECT name, row_count, checksum FROM market.build_tables").fetchall()
        current = recorded == inputs and {name for name, _, _ in tables} == set(STAGES)
        current = current and all(
            _table_checksum(connection, f"market.{name}") == (rows, checksum) for name, rows, checksum in tables
        )
    except duckdb.CatalogException:  # a table is missing: made by another version
        current = False
    except duckdb.Error:
        connection.close()
        raise
    if not current:
        connection.close()
    return current


def _table_checksum(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[int, str]:
    rows, checksum = connection.execute(f"SELECT count(*), bit_xor(hash(t))::VARCHAR FROM {table} AS t").fetchone()
    return rows, checksum or ""


def _build(path: Path, data: Path, inputs: dict[str, str]) -> None:
    """Make the database beside its place and put it there in one step."""
    staged = {
        "parameters": _parameter_rows(data),
        "life_tables": _life_table_rows(data),
        "price_index": _price_index_rows(data),
    }
    with _built_beside(path) as temporary:
        with duckdb.connect(str(temporary), config=CONFIG) as connection:
            for name, rows in staged.items():
                connection.execute(sql(name), {"rows": json.dumps(rows, allow_nan=False)})
            connection.execute("CREATE TABLE build_inputs (input VARCHAR, checksum VARCHAR)")
            connection.executemany("INSERT INTO build_inputs VALUES (?, ?)", sorted(inputs.items()))
            connection.execute("CREATE TABLE build_tables (name VARCHAR, row_count BIGINT, checksum VARCHAR)")
            checksums = [(name, *_table_checksum(connection, name)) for name in staged]
            connection.executemany("INSERT INTO build_tables VALUES (?, ?, ?)", checksums)
        if _logs(path):  # of a file that somebody wrote to; DuckDB would replay it on top of the new one
            _rename_aside(path)
        os.replace(temporary, path)


def _input_checksums(data: Path) -> dict[str, str]:
    """SHA-256 of every file that the staging tables follow from, the code and SQL that make them included."""
    files = [
        *sorted((data / "parameters").glob("*.yaml")),
        *sorted((data / "life_tables").glob("*.csv")),
        data / "price_index.yaml",
    ]
    code = [Path(__file__), Path(__file__).with_name("parameters.py"), *(SQL / f"{name}.sql" for name in STAGES)]
    named = [(path.relative_to(data).as_posix(), path) for path in files]
    named += [(f"market/{path.name}", path) for path in code]
    found = {"duckdb": duckdb.__version__}
    for name, path in named:
        try:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise DatabaseError(name, f"no readable file ({error.strerror})", "an input of the database") from error
    return found


def _parameter_rows(data: Path) -> list[dict[str, Any]]:
    rows = []
    for setting in SETTINGS:
        entries = load_parameters(setting, data / "parameters")
        for key, entry in entries.parameters.items():
            row = {name: getattr(entry, name) for name in entry.__dataclass_fields__}
            row["sources"] = [vars(source) for source in entry.sources]
            row |= {
                "setting": setting,
                "entry_setting": entry.setting,
                "trust": entries.trust(key),
                "interval_by": entry.interval,
                "standard_error": entry.se,
                "minimum": _finite(entry.minimum),
                "maximum": _finite(entry.maximum),
            }
            rows.append(row)
    return rows


def _finite(number: float) -> float | None:
    return None if number in (float("inf"), float("-inf")) else number


def _life_table_rows(data: Path) -> list[dict[str, Any]]:
    """Rows of all `<setting>_<period>.csv`; ParameterError naming file and line for what cannot be right."""
    rows, files = [], {}
    for path in sorted((data / "life_tables").glob("*.csv")):
        setting, _, period = path.stem.partition("_")
        if setting not in SETTINGS or not period:
            raise ParameterError(path.name, "its name", "<setting>_<period>.csv, setting " + ", ".join(SETTINGS))
        if files.setdefault(setting, path) != path:
            raise ParameterError(path.name, f"a second table beside {files[setting].name}", "one a setting")
        common = {"setting": setting, "period": period.replace("_", "-")}
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        header = lines[0].split(",") if lines else []
        if header[:3] != ["age", "female", "male"] or header[3:] not in ([], ["total"]):
            raise ParameterError(f"{path.name} (line 1)", ",".join(header) or "nothing", "age,female,male[,total]")
        for age, line in enumerate(lines[1:]):
            rates = _rates(line, age, len(header) - 1, f"{path.name} (line {age + 2})")
            for sex, rate in zip(header[1:], rates, strict=True):
                rows.append(common | {"sex": sex, "age": age, "deaths_per_person_year": rate})
    return rows


def _rates(line: str, age: int, n: int, where: str) -> list[float]:
    """The n death rates of a line that begins with this age; a rate of 2 would be a mistake."""
    try:
        first, *rates = (float(cell) for cell in line.split(","))
    except ValueError:
        first, rates = -1.0, []
    if first != age or len(rates) != n or not all(0 < rate < 2 for rate in rates):
        raise ParameterError(where, line or "nothing", f"age {age} and {n} death rates between 0 and 2")
    return rates


def _price_index_rows(data: Path) -> list[dict[str, Any]]:
    return [
        {"currency": index.currency, "year": year, "level": level, "label": index.label, "trust": index.trust}
        for index in load_price_index(data / "price_index.yaml").values()
        for year, level in index.levels.items()
    ]


# Scenarios


@dataclass(frozen=True)
class StoredScenario:
    """A saved version of a scenario; `deleted` is when the scenario was deleted, None where it was not."""

    id: str
    version: int
    scenario: Scenario
    engine_version: str
    created: datetime
    results: Any
    deleted: datetime | None


class ScenarioStore:
    """Saved scenarios with all their versions; its methods may be called from any thread.

    path          data/market/scenarios.duckdb where it is not given; made at the first saving
    wait_seconds  how long an operation waits while another process has the file open
    """

    def __init__(self, path: Path = DATA / "scenarios.duckdb", wait_seconds: float = 5.0) -> None:
        self.path = path
        self.wait_seconds = wait_seconds
        self._gate = threading.Lock()  # held while the shared connection is opened or closed
        self._writer = threading.Lock()  # one thread at a time counts versions
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._users = 0
        self._read_only = False
        self._checked = False
        self._warnings: list[str] = []

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know, such as a damaged file set aside; empty before the first operation."""
        return tuple(self._warnings)

    def save_scenario(
        self,
        scenario: Scenario,
        results: Any = None,
        scenario_id: str | None = None,
        engine_version: str = ENGINE_VERSION,
    ) -> StoredScenario:
        """Save a new scenario, or with `scenario_id` a new version of that one, and return what was saved.

        `results` is anything that JSON can say; NaN and infinity are refused. One transaction: after it returns
        the version is safe from a crash of this process, before that there is none of it. Raises InputError
        for an unknown id and for results that are not JSON, DatabaseError where the file cannot be written.
        """
        overrides, stored = _json(dict(scenario.overrides), "overrides"), _json(results, "results")
        chosen = _json(choices(scenario), "choices")
        with self._writing() as cursor:
            now = _now()
            if scenario_id is None:
                key, version = uuid4().hex, 1
            else:
                key, version = scenario_id, self._latest(cursor, scenario_id).version + 1
            row = (key, version, scenario.name, scenario.note, scenario.setting, scenario.seed, overrides)
            cursor.execute(
                "INSERT INTO scenario_versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, engine_version, now, stored, chosen),
            )
        created = now.replace(tzinfo=UTC)
        return StoredScenario(key, version, scenario, engine_version, created, json.loads(stored), None)

    def list_scenarios(self, deleted: bool = False) -> list[StoredScenario]:
        """The latest version of every scenario, the last saved last; deleted ones only with `deleted`."""
        if not self.path.exists():
            return []
        with self._reading() as cursor:
            found = _stored(cursor, "is_latest")
        return [stored for stored in found if deleted or stored.deleted is None]

    def load_scenario(self, scenario_id: str, version: int | None = None) -> StoredScenario:
        """A version of a scenario, the latest where none is given, deleted or not; InputError for others."""
        with self._reading() as cursor:
            if version is None:
                return self._latest(cursor, scenario_id)
            versions = _stored(cursor, "id = $id", id=scenario_id)
        for stored in versions:
            if stored.version == version:
                return stored
        known = ", ".join(str(stored.version) for stored in versions)
        raise InputError(
            "version", str(version), f"one of {known}" if known else f"a scenario, not {scenario_id!r}"
        )

    def list_versions(self, scenario_id: str) -> list[StoredScenario]:
        """All versions of a scenario, oldest first; InputError for an unknown id."""
        with self._reading() as cursor:
            self._latest(cursor, scenario_id)
            found = _stored(cursor, "id = $id", id=scenario_id)
        return sorted(found, key=lambda stored: stored.version)

    def delete(self, scenario_id: str) -> None:
        """Take the scenario off the list; `undelete` brings it back. InputError for an unknown id."""
        self._mark(scenario_id, deleted=True)

    def undelete(self, scenario_id: str) -> None:
        """Put a deleted scenario back on the list. InputError for an unknown id."""
        self._mark(scenario_id, deleted=False)

    def _mark(self, scenario_id: str, deleted: bool) -> None:
        with self._writing() as cursor:
            if (self._latest(cursor, scenario_id).deleted is not None) == deleted:
                return
            last = cursor.execute(
                "SELECT coalesce(max(step), 0) FROM scenario_deletions WHERE id = ?", [scenario_id]
            ).fetchone()
            cursor.execute(
                "INSERT INTO scenario_deletions VALUES (?, ?, ?, ?)", [scenario_id, last[0] + 1, deleted, _now()]
            )

    def _latest(self, cursor: duckdb.DuckDBPyConnection, scenario_id: str) -> StoredScenario:
        found = _stored(cursor, "id = $id AND is_latest", id=scenario_id)
        if not found:
            raise InputError("scenario_id", repr(scenario_id), "the id of a saved scenario, as the list gives it")
        return found[0]

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._cursor(writing=False) as cursor:
            yield cursor

    @contextmanager
    def _writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor within a transaction: all of it is stored, or nothing."""
        with self._writer, self._cursor(writing=True) as cursor:
            cursor.begin()
            try:
                yield cursor
            except BaseException:
                cursor.rollback()
                raise
            cursor.commit()

    @contextmanager
    def _cursor(self, writing: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of the connection that all threads share, opened by the first and closed by the last."""
        with self._gate:
            if self._connection is None:
                self._connection, self._read_only = self._connect(writing)
            elif writing and self._read_only:
                raise DatabaseError(self.path.name, "a file open for reading only", "to write it: try again")
            self._users += 1
            cursor = self._connection.cursor()
        try:
            yield cursor
        except duckdb.Error as error:
            _refuse(self.path, error)
        finally:
            with self._gate:
                cursor.close()
                self._users -= 1
                if self._users == 0:
                    self._connection.close()
                    self._connection = None

    def _connect(self, writing: bool) -> tuple[duckdb.DuckDBPyConnection, bool]:
        """The connection, and whether it can only read: then another process reads too, or the file is locked
        against writing. Waits while another process has the file."""
        deadline = time.monotonic() + self.wait_seconds
        set_aside = 0
        while True:
            if not self.path.exists():
                _create_store(self.path)
            try:
                return self._opened(read_only=False), False
            except duckdb.Error as error:
                problem = error
            if _is_damage(problem) and set_aside < _MOST_SET_ASIDE:
                set_aside += 1
                self._warnings.append(_set_aside(self.path, problem))
                continue
            if not (_is_lock(problem) or _is_refusal(problem)):
                _refuse(self.path, problem)
            if not writing:
                try:
                    return self._opened(read_only=True), True
                except duckdb.Error as error:
                    if not _is_lock(error):
                        _refuse(self.path, error)
            if _is_refusal(problem) or time.monotonic() >= deadline:
                _refuse(self.path, problem)
            time.sleep(0.02)

    def _opened(self, read_only: bool) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(str(self.path), read_only=read_only, config=CONFIG)
        if self._checked:
            return connection
        try:
            if not read_only:
                connection.execute(sql("scenarios"))
                _add_choices(connection)
            for table in ("scenario_versions", "scenario_deletions"):  # to its end, which finds damaged blocks
                _table_checksum(connection, table)
        except duckdb.Error:
            connection.close()
            raise
        self._checked = True
        return connection


def _stored(cursor: duckdb.DuckDBPyConnection, condition: str, **parameters: Any) -> list[StoredScenario]:
    """The versions for which a condition in SQL holds, in the order in which they were saved."""
    query = f"SELECT * FROM scenario_history WHERE {condition} ORDER BY created, version, id"
    found = []
    cursor.execute(query, parameters or None)
    names = [column[0] for column in cursor.description]
    for values in cursor.fetchall():
        row = dict(zip(names, values, strict=True))
        chosen = json.loads(row.get("choices") or "{}")  # no column where an older file can only be read
        named = {name: row[name] for name in ("name", "setting", "seed", "note")}
        scenario = Scenario(overrides=json.loads(row["overrides"]), **named, **chosen)
        moments = [moment and moment.replace(tzinfo=UTC) for moment in (row["created"], row["deleted_at"])]
        about = (row["id"], row["version"], scenario, row["engine_version"], moments[0])
        found.append(StoredScenario(*about, json.loads(row["results"]), moments[1]))
    return found


def _add_choices(connection: duckdb.DuckDBPyConnection) -> None:
    """Give a store made before scenarios had choices their column, all of it or nothing."""
    names = {name for name, *_ in connection.execute("DESCRIBE scenario_versions").fetchall()}
    if "choices" in names:
        return
    connection.begin()
    connection.execute("DROP VIEW scenario_history")
    connection.execute("ALTER TABLE scenario_versions ADD COLUMN choices VARCHAR")
    connection.execute(sql("scenarios"))
    connection.commit()


def _create_store(path: Path) -> None:
    """Make an empty store in one step, so that a process killed meanwhile leaves none or a whole one."""
    with _built_beside(path) as temporary:
        with duckdb.connect(str(temporary), config=CONFIG) as connection:
            connection.execute(sql("scenarios"))
        with suppress(FileExistsError):  # another process was quicker; a link, unlike a renaming, replaces nothing
            os.link(temporary, path)


def _json(value: Any, name: str) -> str:
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            name, str(error), "values that JSON can say: text, finite numbers, lists, mappings"
        ) from error


def _now() -> datetime:
    """The present in UTC, without its zone, as DuckDB stores it."""
    return datetime.now(UTC).replace(tzinfo=None)


# Files


@contextmanager
def _built_beside(path: Path) -> Iterator[Path]:
    """A free path in the same folder, at which to build; whatever is left there afterwards is removed.

    Raises DatabaseError where the folder cannot be written or DuckDB fails.
    """
    temporary = path.with_name(f"{path.stem}.building-{os.getpid()}-{uuid4().hex[:8]}.duckdb")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path)
        yield temporary
    except OSError as error:
        expected = f"room and permission to write in {path.parent.name}"
        raise DatabaseError(path.name, f"no way to make it ({error.strerror})", expected) from error
    except duckdb.Error as error:
        _refuse(path, error)
    finally:
        for leftover in (temporary, *_logs(temporary)):
            with suppress(FileNotFoundError, NotADirectoryError):
                leftover.unlink()


def _is_damage(error: duckdb.Error) -> bool:
    return isinstance(error, duckdb.SerializationException) or any(sign in str(error) for sign in _DAMAGE)


def _is_lock(error: duckdb.Error) -> bool:
    return "Could not set lock on file" in str(error)


def _is_refusal(error: duckdb.Error) -> bool:
    return any(sign in str(error) for sign in ("Permission denied", "Read-only file system"))


def _refuse(path: Path, error: duckdb.Error) -> NoReturn:
    """Raise the DatabaseError that says in plain words what DuckDB said."""
    text = str(error)
    if _is_lock(error):
        holder = _HOLDER.search(text)
        who = f"{Path(holder['program']).name} (process {holder['pid']})" if holder else "another process"
        expected = "the file free: close it there, or wait and try again"
        raise DatabaseError(path.name, f"a file in use by {who}", expected) from error
    if "No space left on device" in text:
        raise DatabaseError(
            path.name, "a disk with no room left", "room for it; what was saved is there"
        ) from error
    if _is_refusal(error):
        raise DatabaseError(
            path.name, "no permission to write it", "a file and folder that can be written"
        ) from error
    if _is_damage(error):
        expected = "a sound file: open it again, and the damaged one is set aside"
        raise DatabaseError(path.name, f"damage ({text.splitlines()[0]})", expected) from error
    raise DatabaseError(path.name, text.splitlines()[0], "a database that DuckDB can work with") from error


def _set_aside(path: Path, error: duckdb.Error) -> str:
    """Rename a damaged file, or only its log where just that is damaged; a sentence for `warnings`."""
    text = str(error).replace(str(path), "").replace(str(path.absolute()), "")  # a path may hold any words
    only_log = any(sign in text for sign in _LOG_DAMAGE)
    names = _rename_aside(path, only_log)
    if only_log and not names:  # no log to rename, so the damage is in the file
        only_log, names = False, _rename_aside(path)
    lost = "what was saved last may be missing" if only_log else "a new one was begun"
    return f"{path.name} was damaged ({str(error).splitlines()[0]}); set aside as {', '.join(names)}, and {lost}."


def _rename_aside(path: Path, only_log: bool = False) -> list[str]:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    target = path.with_name(f"{path.stem}.damaged-{stamp}-{uuid4().hex[:4]}.duckdb")
    names = []
    for old in _logs(path) if only_log else [path, *_logs(path)]:
        new = target.with_name(target.name + old.name.removeprefix(path.name))
        try:
            old.rename(new)
        except FileNotFoundError:  # another process was quicker
            continue
        except OSError as error:
            raise DatabaseError(
                path.name, f"damage, and no way to rename it ({error.strerror})", "a folder to write in"
            ) from error
        names.append(new.name)
    return names


def _logs(path: Path) -> list[Path]:
    """The write-ahead logs beside a database file."""
    if not path.parent.is_dir():
        return []
    return sorted(file for file in path.parent.iterdir() if file.name.startswith(f"{path.name}.wal"))


def _remove_stale(path: Path) -> None:
    """Remove what builders left that were killed more than an hour ago."""
    for leftover in path.parent.glob(f"{path.stem}.building-*"):
        with suppress(FileNotFoundError):  # another process was quicker
            if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                leftover.unlink()
