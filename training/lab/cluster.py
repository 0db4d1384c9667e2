"""Tasks on Ray: on this machine, or on a cluster; results are written here as they come."""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from bot.errors import HourhandError, UsageError
from bot.extras import extras_required
from training.lab.plan import Task
from training.lab.store import read_result, write_result
from training.lab.work import PackedMarket, run_task

LOOPBACK: Final = "127.0.0.1"
STORE_BYTES: Final = 256 * 2**20
_RETRIES: Final = 10
_AT_ONCE: Final = 2  # tasks handed over for each worker, so that none waits for the next one
_SECONDS: Final = 1.0
_REACH_SECONDS: Final = 10.0

Tell = Callable[[int, int], None]
"""Told how many tasks are done and how many there are, after each."""


def _ray() -> Any:
    """Ray, quiet and without its usage statistics. Raises UsageError where it is not installed."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the behaviour to come, and no warning of it
    with extras_required("hourhand-train"):
        import ray  # noqa: PLC0415 - an extra, and slow to load
    return ray


def _reach(address: str) -> None:
    """Raises OSError soon where nobody listens at HOST:PORT, which Ray itself takes minutes to find out."""
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_REACH_SECONDS).close()


@contextmanager
def cluster(address: str = "", workers: int = 0) -> Iterator[int]:
    """Ray for the time of the context: yields how many tasks run at once.

    Without `address` it is started on this machine with that many workers (0: one a core), nothing of it listens beyond
    loopback, and its store holds at most 256 MB and spills nothing. With `address` it is the cluster there (`auto`: the
    one of this machine). Raises UsageError where Ray is not installed or the cluster cannot be reached.
    """
    ray = _ray()
    # Ray takes the machine's own address for loopback's, and listens everywhere, where it may become a cluster.
    constants: Any = import_module("ray._private.ray_constants")
    before, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, bool(address)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
    try:
        if address:
            _reach(address)
            ray.init(address=address, **quiet)
        else:
            ray.init(
                address="local",  # never a cluster that happens to run on this machine
                num_cpus=workers or len(os.sched_getaffinity(0)),
                include_dashboard=False,
                object_store_memory=STORE_BYTES,
                _node_ip_address=LOOPBACK,
                _system_config={"automatic_object_spilling_enabled": False},
                **quiet,
            )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"the cluster at {address} cannot be reached" if address else "Ray cannot be started here"
        raise UsageError(f"{where}: {str(error).splitlines()[0]}") from error
    try:
        yield max(int(ray.cluster_resources().get("CPU", 1)), 1)
    finally:
        ray.shutdown()
        constants.ENABLE_RAY_CLUSTER = before


def run_tasks(
    tasks: Sequence[Task],
    markets: Sequence[PackedMarket],
    folder: Path,
    *,
    address: str = "",
    workers: int = 0,
    tell: Tell = lambda *_: None,
) -> None:
    """Carry out the tasks whose results are not in `folder` yet, each on one core, and write each result there as soon
    as it is known. Ray is started only where there is something to do.

    A task whose worker or node is lost runs again elsewhere. Raises what a task raises, and HourhandError where one
    was lost time after time.
    """
    waiting = [task for task in tasks if read_result(folder, task) is None]
    tell(done := len(tasks) - len(waiting), len(tasks))
    if not waiting:
        return
    with cluster(address, workers) as at_once:
        ray = _ray()
        remote = ray.remote(run_task).options(num_cpus=1, max_retries=_RETRIES)
        shared = ray.put(list(markets))
        running: dict[Any, Task] = {}
        while waiting or running:
            while waiting and len(running) < _AT_ONCE * at_once:
                task = waiting.pop(0)
                running[remote.remote(shared, task)] = task
            ready, _ = ray.wait(list(running), num_returns=1, timeout=_SECONDS)
            for reference in ready:
                task = running.pop(reference)
                write_result(folder, task, _result(ray, reference, task))
                done += 1
                tell(done, len(tasks))


def _result(ray: Any, reference: Any, task: Task) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, HourhandError):
            raise error.cause from error
        raise
    except ray.exceptions.RayError as error:
        raise HourhandError(
            f"task {task.name} was lost {_RETRIES + 1} times (out of memory?): {str(error).splitlines()[0]}; "
            "the same command continues where this one stopped"
        ) from error
