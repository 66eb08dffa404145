"""What the measurements say, for people."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def clicks_table(result: Mapping[str, Any]) -> list[Table]:
    """One table a batch size: medians, and ours as a multiple of theirs."""
    tables = []
    for batch, medians in result["medians"].items():
        table = Table(title=f"clicks, batches of {batch}", caption="x: ours divided by theirs, median over the rounds")
        for column in ("", "events/s", "x", "worker us", "x", "Redis us", "broker us"):
            table.add_column(column, justify="left" if not column else "right")
        for name, figures in medians.items():
            ratio = result["ratios_by_batch"][batch].get(name)
            table.add_row(
                name,
                f"{figures['throughput']:,.0f}",
                f"{ratio['throughput']:.2f}" if ratio else "",
                f"{figures['worker_us']:.1f}",
                f"{ratio['worker_cpu']:.3f}" if ratio else "",
                f"{figures['redis_us']:.1f}",
                f"{figures['broker_us']:.1f}",
            )
        tables.append(table)
    return tables


def plain_table(title: str, result: Mapping[str, Any]) -> Table:
    """A measurement as names and figures, nested names joined by dots."""
    table = Table(title=title, show_header=False)
    for name, value in _flat("", result):
        table.add_row(name, f"{value:,.2f}" if isinstance(value, float) else str(value))
    return table


def _flat(prefix: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [row for name, inner in value.items() for row in _flat(f"{prefix}.{name}" if prefix else name, inner)]
    return [(prefix, value)]
