"""The subcommands of `hourhand-train`, each a module with `add_arguments(parser)` and
`call(parsed_args) -> exit code`."""
