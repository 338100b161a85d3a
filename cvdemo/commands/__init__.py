"""The subcommands of ``python -m cvdemo``: each module adds its parser and runs it, without a browser."""
