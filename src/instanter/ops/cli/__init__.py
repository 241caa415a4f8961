"""The command `instanter`: one module a verb, each with `add_arguments(parser)` and `run(arguments) -> exit code`."""
