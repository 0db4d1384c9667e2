"""Completion of a shell's command line, by argcomplete."""

import argparse
import os
import shlex
from collections.abc import Sequence
from typing import Final

SHELLS: Final = ("bash", "zsh", "fish")


def words_to_complete() -> list[str] | None:
    """The words of the command line that a shell asks to be completed; None where this is no such call."""
    if "_ARGCOMPLETE" not in os.environ:
        return None
    line = os.environ.get("COMP_LINE", "")
    try:
        return shlex.split(line)[1:]
    except ValueError:  # an open quote
        return line.split()[1:]


def complete(parser: argparse.ArgumentParser) -> None:
    """Write the completions for the shell and end the process, where a shell asks for them."""
    if "_ARGCOMPLETE" not in os.environ:
        return
    import argcomplete  # noqa: PLC0415 - only for completion

    argcomplete.autocomplete(parser, always_complete_options="long")


def shell_code(programs: Sequence[str], shell: str) -> str:
    """What a shell has to read to complete the command lines of `programs`."""
    from argcomplete.shell_integration import shellcode  # noqa: PLC0415 - only for completion

    return str(shellcode(programs, shell=shell))
