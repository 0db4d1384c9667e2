"""`hourhand completion`."""

from argparse import ArgumentParser, Namespace
from typing import Final

SHELLS: Final = ("bash", "zsh", "fish")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `completion`."""
    parser.add_argument("shell", choices=SHELLS, help="the shell in which to complete hourhand and hourhand-train")
    parser.epilog = (
        "bash:  hourhand completion bash > ~/.local/share/bash-completion/completions/hourhand\n"
        "zsh:   hourhand completion zsh > ~/.zfunc/_hourhand     (with fpath+=~/.zfunc before compinit)\n"
        "fish:  hourhand completion fish > ~/.config/fish/completions/hourhand.fish\n\n"
        "example: hourhand completion bash > completion.sh && . ./completion.sh"
    )


def call(parsed_args: Namespace) -> int:
    """Print the shell's code."""
    from argcomplete.shell_integration import shellcode  # noqa: PLC0415 - only for completion

    print(shellcode(["hourhand", "hourhand-train"], shell=parsed_args.shell))
    return 0
