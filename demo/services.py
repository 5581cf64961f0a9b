"""Starts and stops everything real that the demo and the end-to-end tests run against: Airflow, MLflow, a mail sink.

Invariants: everything listens on 127.0.0.1 only. Everything lives under one folder, and a second start on it goes on
with the same databases, users and passwords. Whatever way it ends, no process that it started is left behind: each
carries the folder in its environment, so that even the leftovers of a start that was itself killed are found by the
next.
"""

import base64
import fcntl
import importlib.metadata
import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any, Self

import httpx
import psutil

from demo.client import Client
from demo.mail import MailSink

ROOT = Path(__file__).resolve().parent.parent
USUAL_PORTS = {"airflow": 8080, "mlflow": 5000, "mail": 1025}
ROLES = {"admin": "admin", "operator": "op", "scientist": "user", "viewer": "viewer"}
"""The users of the demo, each with the role of Airflow's SimpleAuthManager that it has."""

WATCH = "watch"
"""The user as which the watch looks; no person signs in with it."""

_WATCH_COMMAND = "import sys; from tidemark.cli import main; sys.exit(main(['watch']))"

# What an Airflow that runs Tidemark should always be told, and why.
AIRFLOW_SETTINGS = {
    # With the default, 5, a worker looks at a task that has ended only seconds later: short tasks hold their slots.
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    # A task that published many partitions reports them in one call, which takes longer than the default 5 s.
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
    # Airflow's own test skips, without a word, a file in which the words "dag" and "airflow" do not occur.
    "AIRFLOW__CORE__MIGHT_CONTAIN_DAG_CALLABLE": "tidemark.airflow.discovery.might_contain_dag",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
}


def sending_metrics(port: int) -> dict[str, str]:
    """Return what Airflow is told so that its processes send their metrics to a port of this machine.

    It costs them nothing if nobody listens there.
    """
    return {
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
        "AIRFLOW__METRICS__STATSD_PORT": str(port),
        # DAGs and tasks as labels, and not as parts of names.
        "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
        "AIRFLOW__METRICS__LEGACY_NAMES_ON": "False",
    }


# What makes one machine, and somebody who watches it, comfortable.
_DEMO_SETTINGS = {
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    "AIRFLOW__CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "1",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
    "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
    "AIRFLOW__DAG_PROCESSOR__PRINT_STATS_INTERVAL": "0",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
    "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    # Nobody outside this machine is told anything.
    "GX_ANALYTICS_ENABLED": "False",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Its job runner serves language model features and keeps nine processes of 200 MB each.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "DO_NOT_TRACK": "1",
    # Without it, the process titles that Airflow sets would overwrite the environment in which the leftovers are found.
    "SPT_NOENV": "1",
}

_MARK = "DEMO_SERVICES_FOLDER"
_AIRFLOW_HEALTH = {"scheduler": "scheduler", "triggerer": "triggerer", "dag-processor": "dag_processor"}
_GRACE = 5
"""Seconds that a service gets to end by itself before it is killed."""

Report = Callable[[str, str], None]
"""Is told the progress: the name of a service, and its state in a word or two."""


class ServicesError(Exception):
    """A service cannot start or has ended by itself; says which, why, and where its log is."""


@dataclass(frozen=True)
class User:
    """Somebody who can sign in to Airflow."""

    name: str
    password: str
    role: str


@dataclass(frozen=True)
class _Service:
    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Services:
    """A context manager: everything runs inside it, and nothing after it.

    Args:
        folder: where all state lives; made if it is not there.
        dags: the folder of DAG files that Airflow watches.
        settings: environment variables for everything that runs, such as `TIDEMARK_HOME`; none of the caller's own
            `TIDEMARK_*` and `AIRFLOW*` variables reaches it.
        with_mlflow: start an MLflow server.
        with_mail: start a mail sink, and let Airflow's `smtp_default` connection point at it.
        with_watch: start the watch, signed in to Airflow as a user of its own.
        database_url: Airflow's database as an SQLAlchemy URL; an SQLite file in the folder by default.
        workers: how many task instances run at the same time.
        usual_ports: which port each of `airflow`, `mlflow`, `mail` gets if it is free; any free one if not named.
        report: is told the progress.

    """

    def __init__(
        self,
        folder: Path,
        *,
        dags: Path,
        settings: Mapping[str, str] | None = None,
        with_mlflow: bool = True,
        with_mail: bool = True,
        with_watch: bool = True,
        database_url: str | None = None,
        workers: int = 2,
        usual_ports: Mapping[str, int] = USUAL_PORTS,
        report: Report = lambda name, state: None,
    ) -> None:
        self.folder = folder.resolve()
        self.dags = dags.resolve()
        self._settings = dict(settings or {})
        self._with_mlflow, self._with_mail, self._with_watch = with_mlflow, with_mail, with_watch
        self._home = self.folder / "airflow"
        self._database_url = database_url or f"sqlite:///{self._home / 'airflow.db'}"
        self._workers = workers
        self._usual_ports = usual_ports
        self._report = report
        self._services: list[_Service] = []
        self._watch_begins = 0
        self._sink: MailSink | None = None
        self._lock: IO[str] | None = None
        self._state: dict[str, Any] = {}
        self._started_at = datetime.now(UTC)
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._handlers[number] = signal.signal(number, _exit)
        try:
            self.start()
            self.wait_healthy()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Where everything is

    @property
    def urls(self) -> dict[str, str]:
        """Where a browser finds what runs: `airflow`, and `mlflow` if it does."""
        names = ["airflow", *(["mlflow"] if self._with_mlflow else [])]
        return {name: f"http://127.0.0.1:{self._state['ports'][name]}" for name in names}

    @property
    def users(self) -> list[User]:
        """Who can sign in to Airflow, with their passwords and roles."""
        passwords = _read_passwords(self._passwords_file)
        return [User(name, passwords[name], role) for name, role in ROLES.items()]

    @property
    def mails(self) -> list[EmailMessage]:
        """The mails caught since the start, oldest first."""
        return list(self._sink.mails) if self._sink else []

    def wait_mails(self, count: int, timeout: float = 30) -> list[EmailMessage]:
        """Wait until at least `count` mails have come, at most `timeout` seconds; return what came."""
        return self._sink.wait(count, timeout) if self._sink else []

    def client(self, user: str = "admin") -> Client:
        """Airflow's REST API, signed in as one of the users."""
        password = next(found.password for found in self.users if found.name == user)
        return Client(self.urls["airflow"], user, password)

    def log(self, name: str) -> Path:
        """The file that the output of a service goes to."""
        return self.folder / "logs" / f"{name}.log"

    @property
    def processes(self) -> list[psutil.Process]:
        """Every live process that belongs to this folder, whoever started it."""
        return list(_processes_of(self.folder))

    @property
    def environment(self) -> dict[str, str]:
        """The environment that every service runs in; a `tidemark` command with it meets the same deployment."""
        # PYTHONDONTWRITEBYTECODE would make each process compile all of Airflow anew: three seconds of CPU.
        outer = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW", "TIDEMARK_")) and name != "PYTHONDONTWRITEBYTECODE"
        }
        ports, keys = self._state["ports"], self._state["secrets"]
        own = {
            _MARK: str(self.folder),
            "PYTHONPATH": str(ROOT / "plugins"),
            "NO_PROXY": ",".join(filter(None, [outer.get("NO_PROXY"), "127.0.0.1", "localhost"])),
            "AIRFLOW_HOME": str(self._home),
            "AIRFLOW__API__BASE_URL": self.urls["airflow"],
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(ports["airflow"]),
            "AIRFLOW__API__SECRET_KEY": keys["api"],
            "AIRFLOW__API_AUTH__JWT_SECRET": keys["jwt"],
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__FERNET_KEY": keys["fernet"],
            "AIRFLOW__CORE__PARALLELISM": str(self._workers),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self._passwords_file),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
                f"{name}:{role}" for name, role in [*ROLES.items(), (WATCH, "viewer")]
            ),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(self._home / "bundles"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._database_url,
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self._home / "logs"),
            "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(self._home / "logs" / "dag_processor"),
        }
        if self._with_mlflow:
            own["MLFLOW_TRACKING_URI"] = self.urls["mlflow"]
        if self._with_watch:
            own |= {"TIDEMARK_WATCH_USER": WATCH, "TIDEMARK_WATCH_PASSWORD": keys[WATCH]}
        if self._with_mail:
            sink = {
                "conn_type": "smtp",
                "host": "127.0.0.1",
                "port": ports["mail"],
                "extra": {"disable_ssl": True, "disable_tls": True, "from_email": "tidemark@localhost", "timeout": 10},
            }
            own["AIRFLOW_CONN_SMTP_DEFAULT"] = json.dumps(sink)
        return {**outer, **AIRFLOW_SETTINGS, **_DEMO_SETTINGS, **own, **self._settings}

    @property
    def _passwords_file(self) -> Path:
        return self._home / "passwords.json"

    # Starting

    def start(self) -> None:
        """Start every service; returns once the processes run, which is before they are ready.

        Raises:
            ServicesError: if another start uses the folder, or Airflow's database cannot be prepared.

        """
        for part in (self._home, self.folder / "logs", self.folder / "mlflow"):
            part.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        for process in self.processes:
            self._report("leftovers", f"ending process {process.pid} of an earlier start")
        _kill(self.processes)
        self._load_state()
        self._started_at = datetime.now(UTC)
        if self._with_mail:
            self._sink = MailSink(self.folder / "mail", self._state["ports"]["mail"])
            self._sink.start()
            self._report("mail", "ready")
        if self._with_mlflow:
            self._launch("mlflow", self._mlflow_command())
        self._migrate()
        self._launch("api-server", _airflow("api-server"))
        # Task logs are read from the disk; the log servers would listen on all addresses.
        self._launch("scheduler", _airflow("scheduler", "--skip-serve-logs"))
        self._launch("dag-processor", _airflow("dag-processor"))
        self._launch("triggerer", _airflow("triggerer", "--skip-serve-logs"))
        if self._with_watch:
            self._watch_begins = log.stat().st_size if (log := self.log("watch")).exists() else 0
            self._launch("watch", [sys.executable, "-c", _WATCH_COMMAND])

    def wait_healthy(self, timeout: float = 180) -> None:
        """Wait until every service answers.

        Raises:
            ServicesError: if one ends meanwhile, or does not answer within `timeout` seconds.

        """
        end = time.monotonic() + timeout
        waiting = {service.name for service in self._services}
        while waiting:
            self.check()
            healthy = self._healthy()
            for name in sorted(waiting & healthy):
                self._report(name, "ready")
            waiting -= healthy
            if waiting and time.monotonic() > end:
                late = next(service for service in self._services if service.name in waiting)
                raise ServicesError(f"The {late.name} does not answer after {timeout:g} s.{_tail(late.log)}")
            time.sleep(0.2)

    def check(self) -> None:
        """Raise ServicesError if a service has ended by itself."""
        for service in self._services:
            code = service.process.poll()
            if code is not None:
                raise ServicesError(
                    f"The {service.name} has ended by itself, with exit code {code}.{_tail(service.log)}"
                )

    def stop(self) -> None:
        """End every service and whatever it started; first kindly, then surely."""
        try:
            # The API server goes last: tasks that are being ended still report to it.
            self._end([service for service in self._services if service.name != "api-server"])
            self._end(self._services)
        finally:
            _kill(self.processes)
            for service in self._services:
                service.process.wait()
            self._services.clear()
            if self._sink:
                self._sink.stop()
                self._sink = None
            if self._lock:
                self._lock.close()
                self._lock = None
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            self._handlers.clear()

    def _end(self, services: Sequence[_Service]) -> None:
        running = [service for service in services if service.process.poll() is None]
        for service in running:
            self._report(service.name, "stopping")
            service.process.terminate()
        end = time.monotonic() + _GRACE
        for service in running:
            with suppress(subprocess.TimeoutExpired):
                service.process.wait(max(0, end - time.monotonic()))

    def _take_lock(self) -> None:
        lock = (self.folder / "services.lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
            raise ServicesError(
                f"Process {owner} already runs in {self.folder}: stop it first, or use another folder."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _load_state(self) -> None:
        """Read ports and secrets of the earlier start, or make them; ports that are taken by now are replaced."""
        file = self.folder / "services.json"
        self._state = json.loads(file.read_text()) if file.exists() else {"secrets": {}, "ports": {}}
        self._state["secrets"] = _new_secrets() | self._state["secrets"]
        earlier, ports = self._state["ports"], {}
        for name in USUAL_PORTS:
            wished = (earlier.get(name), self._usual_ports.get(name))
            ports[name] = next((port for port in wished if port and _is_free(port)), None) or _free_port()
        self._state["ports"] = ports
        self._save_state()
        self._passwords_file.touch(0o600)
        # Airflow makes the others' as it starts; the watch starts beside it, and has to know its own.
        passwords = json.loads(self._passwords_file.read_text() or "{}")
        self._passwords_file.write_text(json.dumps(passwords | {WATCH: self._state["secrets"][WATCH]}) + "\n")

    def _save_state(self) -> None:
        file = self.folder / "services.json"
        file.touch(0o600)
        file.write_text(json.dumps(self._state, indent=2))

    def _migrate(self) -> None:
        """Bring Airflow's database to the schema of the installed Airflow; costs seconds, so only when that changed."""
        wanted = f"{importlib.metadata.version('apache-airflow-core')} {self._database_url}"
        if self._state.get("migrated") == wanted:
            return
        self._report("database", "preparing")
        service = self._launch("migrate", _airflow("db", "migrate"))
        if service.process.wait():
            raise ServicesError(f"Airflow's database {self._database_url} cannot be prepared.{_tail(service.log)}")
        self._services.remove(service)
        if self._database_url.startswith("sqlite"):
            # Four processes write to this file: with a write-ahead log, readers and writers do not wait for each other.
            connection = sqlite3.connect(self._database_url.removeprefix("sqlite:///"))
            connection.execute("PRAGMA journal_mode=WAL")
            connection.close()
        self._state["migrated"] = wanted
        self._save_state()
        self._report("database", "ready")

    def _launch(self, name: str, command: Sequence[str]) -> _Service:
        self._report(name, "starting")
        log = self.log(name)
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                env=self.environment,
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A session of its own: Ctrl-C in the terminal reaches us alone, and we end the services in order.
                start_new_session=True,
            )
        service = _Service(name, process, log)
        self._services.append(service)
        return service

    def _watch_looks(self) -> bool:
        """Whether the watch has said since its start that it acts, or that another one does."""
        with self.log("watch").open("rb") as log:
            log.seek(self._watch_begins)
            return b"watch acts" in log.read()

    def _mlflow_command(self) -> list[str]:
        folder = self.folder / "mlflow"
        place = ["--host", "127.0.0.1", "--port", str(self._state["ports"]["mlflow"]), "--workers", "1"]
        stores = [
            "--backend-store-uri",
            f"sqlite:///{folder / 'mlflow.db'}",
            "--artifacts-destination",
            str(folder / "artifacts"),
        ]
        return [sys.executable, "-m", "mlflow", "server", *place, *stores]

    def _healthy(self) -> set[str]:
        """The names of the services that answer; a heartbeat left over from an earlier start does not count."""
        found: set[str] = set()
        if self._with_watch and self._watch_looks():
            found.add("watch")
        if self._with_mlflow and _get(f"{self.urls['mlflow']}/health") is not None:
            found.add("mlflow")
        answer = _get(f"{self.urls['airflow']}/api/v2/monitor/health")
        if answer is None:
            return found
        # The part that tasks talk to is built by its first request, which takes seconds: rather now than in a task.
        if _get(f"{self.urls['airflow']}/execution/health", timeout=60) is not None:
            found.add("api-server")
        health = answer.json()
        for name, key in _AIRFLOW_HEALTH.items():
            beat = health[key][f"latest_{key}_heartbeat"] if health[key] else None
            if beat and datetime.fromisoformat(beat) > self._started_at:
                found.add(name)
        return found


def _airflow(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "airflow", *arguments]


def _new_secrets() -> dict[str, str]:
    return {
        "api": secrets.token_urlsafe(32),
        "jwt": secrets.token_urlsafe(32),
        WATCH: secrets.token_urlsafe(16),
        "fernet": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }


def _read_passwords(file: Path, patience: float = 20) -> dict[str, str]:
    """Read the passwords that Airflow generates as it starts: each of its processes writes the file anew."""
    end = time.monotonic() + patience
    while True:
        try:
            passwords: dict[str, str] = json.loads(file.read_text())
            return passwords
        except (FileNotFoundError, json.JSONDecodeError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _get(url: str, timeout: float = 5) -> httpx.Response | None:
    """The answer of a server that is up, else None."""
    try:
        answer = httpx.get(url, timeout=timeout, trust_env=False)
    except httpx.HTTPError:
        return None
    return None if answer.is_error else answer


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tail(log: Path, lines: int = 15) -> str:
    """The end of a log, and where the rest is."""
    end = log.read_text(errors="replace").splitlines()[-lines:] if log.exists() else []
    return f" The end of its log, {log}:\n" + "\n".join(f"  {line}" for line in end)


def _processes_of(folder: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(_MARK) == str(folder) and process.pid != os.getpid():
                yield process


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=_GRACE)


def _exit(number: int, frame: FrameType | None) -> None:
    """Let SIGTERM and SIGHUP end the program the way Ctrl-C does, so that the services are stopped."""
    sys.exit(128 + number)
