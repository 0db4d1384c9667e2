"""The subcommands of `hourhand`, a module each with `add_arguments(parser)` and `call(options) -> exit code`."""
