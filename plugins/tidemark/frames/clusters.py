"""The engines that run on more than one machine: finding the cluster that is there, and what its failures mean.

Invariants: in production a cluster that runs already is used, and none is started: ``TIDEMARK_DASK_SCHEDULER`` and
``TIDEMARK_SPARK_REMOTE`` say where it is. Without them the engine runs on this machine, within the CPUs and the memory
that this process may use, and listens on 127.0.0.1 alone. What the cluster cannot be blamed for is the asset's failure;
a cluster that cannot be used is `Unavailable`, and tried again. None is waited for for ever.
"""

import atexit
import contextlib
import importlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from tidemark.errors import OutputError, Unavailable
from tidemark.fingerprint.places import is_first_party
from tidemark.frames.deserted import Guard

SCHEDULER = "TIDEMARK_DASK_SCHEDULER"
REMOTE = "TIDEMARK_SPARK_REMOTE"

PATIENCE = 60
"""How long a cluster is waited for, in seconds: to be reached, and to have a first worker."""

# 50 ms, four times as long each time, a quarter of the patience at most: together about as long as that.
_RETRIES = 8

# How a call ends whose connection was cut, or that waited for an answer in vain.
_CUT = {"UNAVAILABLE", "CANCELLED", "ABORTED", "DEADLINE_EXCEEDED"}

# So says a server that is being shut down of what it was computing.
_STOPPED = re.compile(r"stopped SparkContext|SparkContext (was|is|has been) (being )?(shut ?down|stopped)")

_INSTALL = "install requirements-scale.txt, next to requirements.txt, wherever its asset runs"
# Of what this process may use, the part that is for the workers of a local engine; the rest is for this process.
_SHARE = 0.5
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")

_connected: dict[tuple[str, int], tuple[Any, Callable[[], object]]] = {}
_guards: dict[int, Guard] = {}
_scratch: list[Path] = []


def dask_address() -> str | None:
    """Return where the scheduler is that is to be used; None: on this machine."""
    return os.environ.get(SCHEDULER) or None


def spark_address() -> str | None:
    """Return where the Spark Connect server is that is to be used; None: on this machine."""
    return os.environ.get(REMOTE) or None


def memory() -> int:
    """Return how many bytes this process may use: those of the container, or of the machine."""
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in _LIMITS:
        with contextlib.suppress(OSError, ValueError):
            most = min(most, int(Path(limit).read_text()))
    return most


def cpus() -> int:
    """Return how many CPUs this process may use: those of the container, or of the machine."""
    most = float(len(os.sched_getaffinity(0)))
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        most = min(most, int(quota) / int(period))
    return max(int(most), 1)


def dask_client() -> Any:
    """Return a client of the Dask cluster, connected once a process.

    Raises:
        Unavailable: Dask is not installed, the scheduler cannot be reached, has no workers, or other versions.

    """
    return _once("dask", _dask)


def spark_session() -> Any:
    """Return a session of Spark, opened once a process; its time zone is UTC.

    Raises:
        Unavailable: PySpark or Java is not installed, the server cannot be reached, or is of another version.

    """
    return _once("spark", _spark)


def close() -> None:
    """Leave the clusters, and end those of this machine."""
    for key in [key for key in _connected if key[1] == os.getpid()]:
        with contextlib.suppress(Exception):
            _connected.pop(key)[1]()


def _once(engine: str, connect: Callable[[], tuple[Any, Callable[[], object]]]) -> Any:
    key = (engine, os.getpid())  # a connection does not survive a fork
    if key not in _connected:
        if not _connected:
            atexit.register(close)
        _connected[key] = connect()
    return _connected[key][0]


def _needed(name: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unavailable(f"{what} is not installed here: {_INSTALL} ({error})") from error


def _dask() -> tuple[Any, Callable[[], object]]:
    dask = _needed("dask", "Dask")
    distributed = _needed("distributed", "Dask")
    # Arrow's types stay as they are; and the shuffle that goes through tasks is the one that knows all of them.
    dask.config.set({"dataframe.convert-string": False, "dataframe.shuffle.method": "tasks"})
    address = dask_address()
    client, close = _local_dask(distributed) if address is None else _remote_dask(distributed, address)
    guard = _guards[os.getpid()] = Guard(client)

    def leave() -> None:
        guard.close()
        close()

    return client, leave


def _local_dask(distributed: Any) -> tuple[Any, Callable[[], object]]:
    workers = cpus()
    _carry_whole_from_here()
    try:
        cluster = distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=int(memory() * _SHARE / workers),
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=50,
            local_directory=tempfile.gettempdir(),
        )
    except Exception as error:
        raise Unavailable(f"Dask did not start on this machine: {_first_line(error)}") from error
    client = distributed.Client(cluster)
    return client, lambda: (client.close(), cluster.close())


def _carry_whole_from_here() -> None:
    """Let a scheduler within this process send functions whole to its workers, as one elsewhere does.

    By itself it pickles what it can find by name in its own process, such as a function of a DAG file: its workers
    have no module of that name, and lose their connection over it.
    """
    import pickle

    cloudpickle = importlib.import_module("cloudpickle")
    protocol = importlib.import_module("distributed.protocol.pickle")
    protocol.pickle = SimpleNamespace(**{**vars(pickle), "dumps": cloudpickle.dumps})  # type: ignore[attr-defined]


def _remote_dask(distributed: Any, address: str) -> tuple[Any, Callable[[], object]]:
    try:
        client = distributed.Client(address, timeout=PATIENCE)
    except (OSError, ValueError, TimeoutError) as error:
        raise Unavailable(
            f"the Dask scheduler {address} cannot be reached: {_first_line(error)}. Is it running, and is {SCHEDULER} "
            "its address, such as tcp://dask-scheduler:8786?"
        ) from error
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
        _check_dask_versions(client.get_versions(), address)
    except TimeoutError as error:
        client.close()
        raise Unavailable(
            f"the Dask scheduler {address} has no worker, and got none within {PATIENCE} s: start some"
        ) from error
    except BaseException:
        client.close()
        raise
    return client, client.close


def _check_dask_versions(versions: dict[str, Any], address: str) -> None:
    """Refuse a cluster that would misunderstand what it is sent."""
    mine = _told(versions["client"])
    others = {"scheduler": versions["scheduler"], **versions["workers"]}
    for who, told in others.items():
        theirs = _told(told)
        for what, version in mine.items():
            if theirs.get(what) != version:
                raise Unavailable(
                    f"the Dask cluster {address} has {what} {theirs.get(what)} ({who}), and here is {version}: "
                    "run its scheduler and workers from the image, or the requirements-scale.txt, that this runs from"
                )


def _told(versions: dict[str, Any]) -> dict[str, str]:
    host, packages = dict(versions["host"]), versions["packages"]
    python = ".".join(str(host["python"]).split(".")[:2])
    return {"Python": python, **{each: packages[each] for each in ("dask", "distributed", "pandas", "cloudpickle")}}


def _spark() -> tuple[Any, Callable[[], object]]:
    pyspark = _needed("pyspark", "PySpark")
    sessions = _needed("pyspark.sql", "PySpark").SparkSession
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    address = spark_address()
    if address is None:
        session = _local_spark(sessions)
    else:
        _needed("grpc", "Spark Connect")
        try:
            session = sessions.builder.remote(address).getOrCreate()
            # By itself it tries for ten minutes. A server that is silent is told by the pings of its connection.
            _try_again(session, _RETRIES)
            theirs = session.version
        except Exception as error:
            raise Unavailable(
                f"the Spark Connect server {address.partition(';')[0]} cannot be used: {_first_line(error)}. Is it "
                f"running, and is {REMOTE} its address, such as sc://spark-connect:15002?"
            ) from error
        if theirs.split(".")[:2] != pyspark.__version__.split(".")[:2]:
            session.stop()
            raise Unavailable(
                f"the Spark Connect server is of version {theirs}, and here is PySpark {pyspark.__version__}: "
                "run the server of that version"
            )
    session.conf.set("spark.sql.session.timeZone", "UTC")
    return session, partial(_leave_spark, session, remote=address is not None)


def _try_again(session: Any, times: int) -> None:
    """Let what a Spark Connect server does not answer be asked again so often."""
    from pyspark.sql.connect.client.retries import DefaultPolicy

    session.client.set_retry_policies([DefaultPolicy(max_retries=times, max_backoff=PATIENCE * 1000 // 4)])


@contextlib.contextmanager
def _asked_once(session: Any) -> Iterator[None]:
    """What is asked of a server that may be gone: it was waited for once, which is enough."""
    _try_again(session, 0)
    try:
        yield
    finally:
        _try_again(session, _RETRIES)


def _leave_spark(session: Any, *, remote: bool) -> None:
    with _asked_once(session) if remote else contextlib.nullcontext():
        session.stop()


def forget(frame: Any) -> None:
    """Let Spark give back what it keeps of a frame: a server elsewhere would keep it for as long as it runs.

    One that is gone has nothing to give back.
    """
    if spark_address() is None:
        frame.unpersist()
        return
    from pyspark.errors import PySparkException

    with _asked_once(frame.sparkSession), contextlib.suppress(PySparkException):
        frame.unpersist()


def _local_spark(sessions: Any) -> Any:
    if not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        raise Unavailable(
            f"Spark on this machine needs Java, and there is none: install openjdk-17-jre-headless, or name a Spark "
            f"Connect server by {REMOTE}"
        )
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    options = {
        "spark.driver.memory": f"{max(int(memory() * _SHARE) >> 20, 512)}m",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "OFF",  # what fails is told once, by us
        "spark.local.dir": tempfile.gettempdir(),
        # A table of an ordinary size is not worth two hundred tasks.
        "spark.sql.shuffle.partitions": str(4 * cpus()),
    }
    builder = sessions.builder.master(f"local[{cpus()}]").appName("tidemark")
    for name, value in options.items():
        builder = builder.config(name, value)
    try:
        return builder.getOrCreate()
    except Exception as error:
        raise Unavailable(f"Spark did not start on this machine: {_first_line(error)}") from error


def carry_whole() -> None:
    """Let functions of the team's own modules travel to the workers whole: those do not have the DAG files."""
    from tidemark.frames import onworkers

    mine = [each for each in list(sys.modules.values()) if isinstance(each, ModuleType) and each.__name__ != "__main__"]
    modules = [each for each in mine if getattr(each, "__file__", None) and is_first_party(vars(each))]
    for name in ("cloudpickle", "pyspark.cloudpickle"):
        pickling = sys.modules.get(name)
        if pickling is not None:
            known = pickling.list_registry_pickle_by_value()
            for module in [onworkers, *modules]:
                if module.__name__ not in known and sys.modules.get(module.__name__) is module:
                    pickling.register_pickle_by_value(module)


def scratch() -> Path:
    """Return a new folder for files that the workers of this machine read; gone after the computation."""
    folder = Path(tempfile.mkdtemp(prefix="tidemark-"))
    _scratch.append(folder)
    return folder


@contextlib.contextmanager
def computation(where: str) -> Iterator[None]:
    """Call a function, and say what a failure of the cluster means, if there is one; remove what it read from after it.

    Raises:
        Unavailable: the cluster was lost.
        OutputError: what a worker raised, in its last line; or the workers died of it.

    """
    before = len(_scratch)  # within a model's computation there are those of its trials
    try:
        yield
    except Exception as error:
        meaning = _meaning(error, where)
        if meaning is None:
            raise
        if isinstance(meaning, Unavailable):
            close()
        raise meaning from error
    finally:
        while len(_scratch) > before:
            shutil.rmtree(_scratch.pop(), ignore_errors=True)


def _meaning(error: Exception, where: str) -> Exception | None:
    names = {f"{each.__module__.partition('.')[0]}.{each.__name__}" for each in type(error).__mro__}
    if "distributed.KilledWorker" in names:
        return OutputError(
            f"{where}: the Dask workers that computed it died, each of those that tried, most likely for want of "
            "memory. Make its partitions smaller (frame.repartition), or give the workers more memory."
        )
    if names & {"distributed.CommClosedError", "distributed.FutureCancelledError", "distributed.FuturesCancelledError"}:
        guard = _guards.get(os.getpid())
        if guard is not None and guard.said is not None:
            return Unavailable(f"{where}: its Dask cluster was given up: {guard.said}. It is tried again.")
        return Unavailable(f"{where}: the Dask scheduler was lost: {_first_line(error)}. It is tried again.")
    if names & {"py4j.Py4JNetworkError", "py4j.Py4JError"} and "py4j.Py4JJavaError" not in names:
        return Unavailable(f"{where}: Spark was lost: {_first_line(error)}. It is tried again.")
    if "pyspark.PySparkException" in names and _STOPPED.search(str(error)):
        return Unavailable(f"{where}: Spark was stopped while it computed. It is tried again.")
    # What was raised last may be that the client has no session any more: what it was told first says why.
    if "pyspark.PySparkException" in names and "INVALID_HANDLE." in f"{error} {error.__context__}":
        return Unavailable(f"{where}: the Spark Connect server began anew while it computed. It is tried again.")
    if names & {"pyspark.SparkConnectGrpcException", "grpc.RpcError"} and _is_lost(error):
        return Unavailable(f"{where}: the Spark Connect server was lost: {_why(error)}. It is tried again.")
    if "pyspark.PySparkException" in names:
        return OutputError(f"{where}: {_why(error) if _is_unanswered(error) else _last_line(str(error))}")
    return None


def _is_unanswered(error: Exception) -> bool:
    return "RPC that terminated with" in str(error)


def _is_lost(error: Any) -> bool:
    """Whether a call failed for want of the Spark Connect server, and not for what was asked of it."""
    if spark_address() is None or ("spark", os.getpid()) not in _connected:
        return False  # it was a call of the asset's own
    status = error.code() if hasattr(error, "code") else error.getGrpcStatusCode()
    if status.name in _CUT:
        return True
    # In no words of the server's own: a connection that was cut, or an answer that could not be made. It tells itself.
    return _is_unanswered(error) and not _spark_answers()


def _spark_answers() -> bool:
    from pyspark.errors import PySparkException

    session, _ = _connected["spark", os.getpid()]
    with _asked_once(session), contextlib.suppress(PySparkException):
        return bool(session.version)
    return False


def _why(error: Exception) -> str:
    """Return what a call without an answer says of why."""
    said = str(error)
    details = re.search(r'details = "(.+)"', said)
    status = re.search(r"StatusCode\.(\w+)", said)
    if details is not None:
        return details[1]
    return f"its call ended with the status {status[1]}" if status else _first_line(error)


def _last_line(said: str) -> str:
    """Return what a Python worker raised, or else the first line of what Spark says."""
    lines = [line.rstrip() for line in said.splitlines() if line.strip()]
    if not any("Traceback (most recent call last)" in line for line in lines):
        return lines[0] if lines else "it says nothing"
    raised = [line for line in lines if line[:1] not in (" ", "\t")]
    return next((line for line in reversed(raised) if "SQLSTATE" not in line and ":" in line), lines[-1])


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
