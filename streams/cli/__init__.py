"""The command line: ``penchant COMMAND``.

Exit codes: 0 done; 1 the answer is bad news (findings, failures); 2 wrong use or settings; 3 a dependency does not
answer. Commands import what they need when they run, so that help is instant.
"""

import typer

from . import bench, contract, demo, model, profile, replay, send, worker

app = typer.Typer(
    name="penchant",
    help="Keeps, for every user, what they are into right now: events from Kafka, decayed interest profiles in Redis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (demo, worker, send, replay, profile, model, contract, bench):
    module.register(app)


def main() -> None:
    """Run the command line."""
    app()
