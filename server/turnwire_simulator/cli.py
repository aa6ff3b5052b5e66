"""The command `simulate`: runs the simulator in a process of its own until it is interrupted."""

import asyncio
import logging
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from turnwire_simulator.api import Simulator

__all__ = ["simulate"]


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=9000, show_default=True, help="Port; 0 takes any free one.")
@click.option(
    "--tokens-per-second",
    default=50.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Pace of each answer; 0 sends it flat out.",
)
@click.option("--verbose", is_flag=True, help="Log a line for each request.")
def simulate(host: str, port: int, tokens_per_second: float, verbose: bool) -> None:
    """Runs a stand-in for the Claude API that answers without a key or a bill."""
    # Not before: the help does without.
    from turnwire_simulator.api import Simulator

    logging.basicConfig(format="%(message)s", level=logging.INFO if verbose else logging.WARNING)
    asyncio.run(_serve(Simulator(port, host=host, tokens_per_second=tokens_per_second or None)))


async def _serve(simulator: "Simulator") -> None:
    async with simulator:
        click.echo(f"The simulated Claude API listens on {simulator.url}. Point a client at it:")
        click.echo(f"  export ANTHROPIC_BASE_URL={simulator.url} ANTHROPIC_API_KEY=simulated")
        await asyncio.Event().wait()
