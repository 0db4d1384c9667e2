"""Tasks on Ray: whoever does them, whatever is lost meanwhile, the results are the same."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training.lab.conftest import TINY, run_here, write_markets
from training.data import Market
from training.lab import Where, run_walkforward
from training.lab.cluster import run_tasks
from training.lab.plan import Task
from training.lab.space import settings_toml
from training.lab.store import result_file
from training.lab.walkforward import Ground, rival_tasks, trials_of
from training.lab.work import PackedMarket, pack
from training.learner import TrainingSettings

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def tasks(ground: Ground, tiny: TrainingSettings) -> list[Task]:
    """Those of two trials and four rivals."""
    trials, rivals = trials_of(ground, tiny), rival_tasks(ground, tiny)
    return [*(task for trial in trials for task in trial.tasks), *(task for tasks in rivals for task in tasks)]


@pytest.fixture(scope="module")
def expected(ground: Ground, tasks: list[Task], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tasks' result files, made in this process."""
    folder = new_folder(tmp_path_factory.mktemp("expected"))
    run_here(tasks, [pack(market) for market in ground.markets], folder)
    return contents(folder, tasks)


def new_folder(folder: Path) -> Path:
    (folder / "tasks").mkdir(parents=True)
    return folder


def contents(folder: Path, tasks: list[Task]) -> dict[str, bytes]:
    return {task.name: result_file(folder, task).read_bytes() for task in tasks}


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    yield
    assert not ray.is_initialized()


@pytest.mark.parametrize("workers", [1, 2])
def test_results_do_not_depend_on_who_does_what_when(
    workers: int, ground: Ground, tasks: list[Task], expected: dict[str, bytes], tmp_path: Path
) -> None:
    folder, seen = new_folder(tmp_path / "lab"), []
    packed = [pack(market) for market in ground.markets]
    order = tasks if workers == 1 else tasks[::-1]
    run_tasks(order, packed, folder, workers=workers, tell=lambda done, total: seen.append((done, total)))
    assert contents(folder, tasks) == expected
    assert seen == [(done, 6) for done in range(7)]


def test_nothing_listens_beyond_loopback_and_the_store_is_bounded(
    ground: Ground, tasks: list[Task], tmp_path: Path
) -> None:
    listeners: set[str] = set()
    sizes: list[float] = []

    def look(done: int, _: int) -> None:
        if done:
            listeners.update(listening_addresses())
            sizes.append(ray.cluster_resources()["object_store_memory"])

    packed = [pack(market) for market in ground.markets]
    run_tasks(tasks[:2], packed, new_folder(tmp_path / "lab"), workers=1, tell=look)
    assert listeners
    assert {address.removeprefix("::ffff:") for address in listeners} <= {"127.0.0.1", "::1"}
    assert max(sizes) <= 300 * 2**20


def lose_a_node(tasks: list[Task], markets: list[PackedMarket], folder: Path) -> None:
    """Carry out the tasks on a cluster of two nodes, of which one is lost after the first result."""
    from ray.cluster_utils import Cluster  # noqa: PLC0415

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        lost: list[int] = []

        def tell(done: int, _: int) -> None:
            if done == 1 and not lost:
                lost.append(done)
                cluster.remove_node(node, allow_graceful=False)

        run_tasks(tasks, markets, folder, address=cluster.address, tell=tell)
        assert lost
    finally:
        cluster.shutdown()


def test_a_node_that_is_lost_loses_no_result(
    ground: Ground, tasks: list[Task], expected: dict[str, bytes], tmp_path: Path
) -> None:
    """In a process of its own: one that has met a Ray on loopback does not find its way to a cluster."""
    folder = new_folder(tmp_path / "lab")
    packed = [pack(market) for market in ground.markets]
    process = multiprocessing.get_context("spawn").Process(target=lose_a_node, args=(tasks, packed, folder))
    process.start()
    process.join(300)
    assert process.exitcode == 0
    assert contents(folder, tasks) == expected


def test_a_cluster_that_is_not_there_is_one_sentence(ground: Ground, tasks: list[Task], tmp_path: Path) -> None:
    from bot.errors import UsageError  # noqa: PLC0415

    packed = [pack(market) for market in ground.markets]
    with pytest.raises(UsageError, match="cannot be reached"):
        run_tasks(tasks[:1], packed, new_folder(tmp_path / "lab"), address="127.0.0.1:1")


@pytest.fixture
def command(two_markets: list[Market], tmp_path: Path) -> list[str]:
    """The words of a walk-forward in a process of its own."""
    write_markets(tmp_path, two_markets)
    (tmp_path / "tiny.toml").write_text(settings_toml(TINY))
    words = [sys.executable, "-m", "training", "walkforward", "--candles", str(tmp_path / "*.csv"), "--folds", "2020"]
    rest = ["--seeds", "2", "--runs", "2", "--embargo-days", "2", "--config", str(tmp_path / "tiny.toml")]
    return [*words, *rest, "--workers", "2", "--out", str(tmp_path / "lab"), "--json"]


def test_killed_workers_and_ctrl_c_lose_only_what_was_under_way(command: list[str], tmp_path: Path) -> None:
    command[command.index("--seeds") + 1] = "6"  # so that there is something under way when it is interrupted
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    killed = 0
    assert process.stderr
    for line in process.stderr:
        if line.startswith("1 of 10 tasks"):
            killed = sum(kill(worker) for worker in task_processes(process.pid))
        if line.startswith("3 of 10 tasks"):
            process.send_signal(signal.SIGINT)
            break
    process.communicate()
    assert process.returncode == 130
    assert killed
    finished = len(list((tmp_path / "lab" / "tasks").glob("*.npz")))
    assert finished >= 3
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{finished} of 10 tasks" in done.stderr.splitlines()[0]
    result = json.loads(done.stdout)
    assert result["trials"] == 6
    assert {"pbo", "deflated_sharpe", "spa_p_value", "pooled", "verdict"} <= result.keys()


def test_on_ray_the_figures_are_those_without(
    ground: Ground, tiny: TrainingSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = run_walkforward(ground, tiny, Where(tmp_path / "there", "", 2), "now")
    monkeypatch.setattr("training.lab.walkforward.run_tasks", run_here)
    here = run_walkforward(ground, tiny, Where(tmp_path / "here"), "now")
    assert {**there, "page": ""} == {**here, "page": ""}


def kill(pid: int) -> bool:
    """Whether the process was there to be killed."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def task_processes(pid: int) -> list[int]:
    """The workers below a process that carry out tasks."""
    found = []
    for one in descendants(pid):
        try:
            name = Path(f"/proc/{one}/cmdline").read_bytes()
        except OSError:
            continue
        if name.startswith(b"ray::run_task"):
            found.append(one)
    return found


def listening_addresses() -> set[str]:
    """The addresses that this process and those below it listen at."""
    inodes = set()
    for pid in [os.getpid(), *descendants(os.getpid())]:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = str(link.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                words = fields[1].partition(":")[0]
                raw = b"".join(bytes.fromhex(words[n : n + 8])[::-1] for n in range(0, len(words), 8))
                found.add(socket.inet_ntop(family, raw))
    return found
