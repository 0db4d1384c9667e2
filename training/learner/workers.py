"""Processes that train together, each on its part of the windows: one vector is added up over all of them at a time.

Processes rather than torch's threads, because a step's products are too small to be worth dividing. They talk through
pipes alone, so when one of them dies, however it does, the others read the end of its pipe and stop.
"""

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Self

import torch
from torch import Tensor

from bot.errors import HourhandError

Work = Callable[..., None]
"""What a process does: called with its rank, its way to add up, and the arguments given to the pool."""


class WorkerPool:
    """The other processes, of which the caller is the first; none of them where `size` is 1.

    A context manager: at its end the processes are gone.
    """

    def __init__(self, size: int, work: Work, arguments: Sequence[Any]) -> None:
        self.size = size
        self._pipes: list[Connection] = []
        self._processes: list[multiprocessing.process.BaseProcess] = []
        context = multiprocessing.get_context("spawn")
        for rank in range(1, size):
            mine, theirs = context.Pipe()
            process = context.Process(target=_follow, args=(theirs, rank, work, arguments), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(mine)
            self._processes.append(process)

    def total(self, mine: Tensor) -> Tensor:
        """The sum over all processes, in their order, so that it is the same every time.

        Raises HourhandError where one of them has ended.
        """
        if not self._pipes:
            return mine
        try:
            everyone = mine.cpu().clone()
            for pipe in self._pipes:
                everyone += _unpacked(pipe.recv_bytes(), mine)
            content = everyone.numpy().tobytes()
            for pipe in self._pipes:
                pipe.send_bytes(content)
        except (EOFError, OSError) as error:
            raise HourhandError("a training process has died; continue with --resume") from error
        return everyone.to(mine.device)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()


def _unpacked(content: bytes, like: Tensor) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=like.dtype).view(like.shape)


def _follow(pipe: Connection, rank: int, work: Work, arguments: Sequence[Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides when to stop
    torch.set_num_threads(1)

    def total(mine: Tensor) -> Tensor:
        pipe.send_bytes(mine.numpy().tobytes())
        return _unpacked(pipe.recv_bytes(), mine)

    with suppress(EOFError, OSError):  # the first process has stopped
        work(rank, total, *arguments)
