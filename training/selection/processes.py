"""Jobs side by side in processes of their own: their results, in the order of the jobs, whoever is done first."""

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from bot.errors import HourhandError

Tell = Callable[[Any], None]
"""What a job calls to tell of its progress."""


def side_by_side(
    work: Callable[..., Any], jobs: Sequence[tuple[Any, ...]], at_once: int, told: Callable[[int, Any], None]
) -> list[Any]:
    """The results of `work(tell, *job)` for all jobs, at most `at_once` at a time, each in a process with one thread of
    torch's; in this one where `at_once` is 1. `told` gets a job's number and what the job tells.

    Raises what a job raises, and HourhandError where its process has ended without a word. No process outlives the
    call.
    """
    if at_once == 1:
        return [work(_teller(told, number), *job) for number, job in enumerate(jobs)]
    context = multiprocessing.get_context("spawn")
    waiting, results = list(enumerate(jobs)), {}
    running: dict[Connection, tuple[int, Any]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                number, job = waiting.pop(0)
                mine, theirs = context.Pipe()
                process = context.Process(target=_run, args=(theirs, work, job), daemon=True)
                process.start()
                theirs.close()
                running[mine] = number, process
            for pipe in wait(list(running)):
                number, process = running[pipe]  # type: ignore[index] # typeshed: it returns what it got
                kind, content = _received(pipe)  # type: ignore[arg-type]
                if kind == "told":
                    told(number, content)
                    continue
                if kind == "failed":
                    raise content
                results[number] = content
                process.join()
                del running[pipe]  # type: ignore[arg-type]
    finally:
        for _, process in running.values():
            process.kill()
            process.join()
    return [results[number] for number in range(len(jobs))]


def _teller(told: Callable[[int, Any], None], number: int) -> Tell:
    return lambda content: told(number, content)


def _received(pipe: Connection) -> tuple[str, Any]:
    try:
        kind, content = pipe.recv()
    except (EOFError, OSError) as error:
        raise HourhandError("a training process has ended; continue with --resume") from error
    return kind, content


def _run(pipe: Connection, work: Callable[..., Any], job: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides when to stop
    torch.set_num_threads(1)
    with suppress(BrokenPipeError, ConnectionResetError):  # the first process has stopped
        try:
            result = "done", work(lambda content: pipe.send(("told", content)), *job)
        except (HourhandError, ValueError) as error:
            result = "failed", error
        pipe.send(result)
