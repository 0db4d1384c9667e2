"""Standard output and standard error that may be closed, full, or gone, without a command failing for it."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO, cast


class TolerantStream(io.TextIOBase):
    """A text stream whose failed writes are kept in `error` and lost. With `sticky`, nothing is written after one."""

    def __init__(self, stream: TextIO, *, sticky: bool) -> None:
        self._stream, self._sticky = stream, sticky
        self.error: OSError | ValueError | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's."""
        return self._stream.encoding

    @property
    def full(self) -> bool:
        """Whether text was lost for another reason than a reader that has gone."""
        return self.error is not None and not isinstance(self.error, BrokenPipeError)

    def write(self, text: str) -> int:
        """Write it, or not."""
        if not (self._sticky and self.error):
            try:
                self._stream.write(text)
            except (OSError, ValueError) as error:
                self.error = error
        return len(text)

    def flush(self) -> None:
        """Flush, or not."""
        if not (self._sticky and self.error):
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self.error = error

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The stream's."""
        return self._stream.fileno()


@contextmanager
def tolerant_streams() -> Iterator[TolerantStream]:
    """Standard output, yielded, and standard error tolerate failures inside the block; text that the terminal's
    encoding lacks is written as escapes.
    """
    _open_missing()
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    output, errors = TolerantStream(before[0], sticky=True), TolerantStream(before[1], sticky=False)
    sys.stdout, sys.stderr = cast("TextIO", output), cast("TextIO", errors)
    try:
        yield output
    finally:
        output.flush()
        errors.flush()
        sys.stdout, sys.stderr = before
        for tolerant, stream in ((output, before[0]), (errors, before[1])):
            if tolerant.error is not None:  # Python flushes once more when it ends
                _discard(stream)


def output_is_full() -> bool:
    """Whether text for standard output was lost because it could not be written."""
    sys.stdout.flush()
    return isinstance(sys.stdout, TolerantStream) and sys.stdout.full


def _open_missing() -> None:
    """Open the null device for each standard stream that is closed, so that no other file gets its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _discard(stream: TextIO) -> None:
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()
