"""What the benchmarks print."""

import statistics

__all__ = ["head", "milliseconds", "percentile", "row"]


def head(*names: str) -> None:
    """Begin a table."""
    print(f"\n| {' | '.join(names)} |\n|{'---|' * len(names)}", flush=True)


def row(*cells: str) -> None:
    """A line of the table."""
    print(f"| {' | '.join(cells)} |", flush=True)


def percentile(values: list[float], share: float) -> float:
    """The value below which a share of them lies."""
    return statistics.quantiles(values, n=1000)[round(share * 1000) - 1]


def milliseconds(seconds: list[float], *shares: float) -> str:
    """Percentiles of seconds, in milliseconds."""
    return ", ".join(f"{1000 * percentile(seconds, share):.1f}" for share in shares)
