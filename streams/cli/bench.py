"""``penchant bench``: throughput, latency, memory and cost, measured side by side on embedded servers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from .shared import BAD_NEWS, WRONG_USE, Json, fail, print_json

_IMAGES = Path("deploy/images")
Quick = Annotated[bool, typer.Option("--quick", help="a shorter run, for a first look: minutes instead of tens")]
KafkaHome = Annotated[
    Path | None,
    typer.Option(help="measure freshness on the Apache Kafka of this folder; the embedded broker answers fetches late"),
]
bench = typer.Typer(no_args_is_help=True, help="Measure, side by side on embedded servers.")


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    app.add_typer(bench, name="bench")


@bench.command()
def clicks(
    *,
    quick: Quick = False,
    as_json: Json = False,
    without: Annotated[list[str] | None, typer.Option(help="leave this contestant out")] = None,
    plot: Annotated[bool, typer.Option("--plot", help=f"draw {_IMAGES}/throughput.svg")] = False,
) -> None:
    """Clicks from Kafka to Redis against a loop without a framework, Faust, quixstreams and bytewax."""
    result = _clicks(quick=quick, without=without or [])
    if plot:
        from streams.bench.plot import throughput

        throughput(result, _IMAGES / "throughput.svg")
    if as_json:
        print_json(result)
    else:
        _print_clicks(result)


@bench.command()
def reads(*, quick: Quick = False, as_json: Json = False) -> None:
    """InterestReader.top against a bare ZRANGE, and many(100)."""
    _show("reads", _reads(quick=quick), as_json=as_json)


@bench.command()
def memory(*, quick: Quick = False, as_json: Json = False) -> None:
    """Bytes a user in Redis, with and without evidence."""
    _show("memory", _memory(quick=quick), as_json=as_json)


@bench.command()
def freshness(
    *,
    quick: Quick = False,
    as_json: Json = False,
    plot: Annotated[bool, typer.Option("--plot", help=f"draw {_IMAGES}/freshness.svg")] = False,
    kafka_home: KafkaHome = None,
) -> None:
    """From a click to its profile at 20, 50 and 80 percent of capacity."""
    result = _freshness(quick=quick, kafka_home=kafka_home)
    if plot:
        from streams.bench.plot import freshness as draw

        draw(result, _IMAGES / "freshness.svg")
    _show("freshness, milliseconds", result, as_json=as_json)


@bench.command()
def scale(*, quick: Quick = False, as_json: Json = False) -> None:
    """Cost of an event as users, interests, partitions, skew and batches grow."""
    _show("scale", _scale(quick=quick), as_json=as_json)


@bench.command()
def startup(*, quick: Quick = False, as_json: Json = False) -> None:
    """Seconds until the first event is applied, and the worker's memory."""
    _show("start", _startup(quick=quick), as_json=as_json)


@bench.command()
def stages(*, batch: Annotated[int, typer.Option(help="clicks in a batch")] = 500, as_json: Json = False) -> None:
    """Where a microsecond goes: the worker's steps without Kafka, and what Redis is asked."""
    from streams.bench import stages as measurement

    with _reporting():
        result = measurement.measure(events=100_000, batch=batch)
    _show("CPU microseconds an event", result, as_json=as_json)


@bench.command()
def savings(*, quick: Quick = False, as_json: Json = False) -> None:
    """Model calls for each 1,000 events: what gate, repeats and ledger make needless."""
    _show("savings", _savings(quick=quick), as_json=as_json)


@bench.command()
def comments(
    *,
    vllm: Annotated[str, typer.Option(help="base URL of a vLLM server; default: the first of PENCHANT_VLLM_URLS")] = "",
    model: Annotated[str, typer.Option(help="the model name it serves")] = "penchant",
    offline_python: Annotated[
        Path | None, typer.Option(help="interpreter of vLLM's environment: LLM.chat is measured too")
    ] = None,
    offline_model: Annotated[Path | None, typer.Option(help="folder of the model for LLM.chat")] = None,
    quick: Quick = False,
    as_json: Json = False,
) -> None:
    """Comments from Kafka through vLLM to Redis, against a plain asyncio client and LLM.chat on the same prompts."""
    from streams.bench import comments as measurement

    from .shared import settings

    url = vllm or next(iter(settings().vllm_urls), "")
    if not url or (offline_python is None) != (offline_model is None):
        fail(WRONG_USE, "say where vLLM is (--vllm URL), and give --offline-python and --offline-model together")
    offline = measurement.Offline(offline_python, offline_model) if offline_python and offline_model else None
    with _reporting() as tell:
        result = measurement.measure(
            url=url,
            model=model,
            texts=150 if quick else 600,
            seconds=10.0 if quick else 60.0,
            offline=offline,
            tell=tell,
        )
    _show("comments", result, as_json=as_json)


@bench.command("all")
def everything(*, quick: Quick = False, as_json: Json = False, kafka_home: KafkaHome = None) -> None:
    """Everything but comments and stages, one after another, with both plots."""
    from streams.bench import plot

    result = {
        "clicks": _clicks(quick=quick, without=[]),
        "reads": _reads(quick=quick),
        "memory": _memory(quick=quick),
        "freshness": _freshness(quick=quick, kafka_home=kafka_home),
        "scale": _scale(quick=quick),
        "startup": _startup(quick=quick),
        "savings": _savings(quick=quick),
    }
    plot.throughput(result["clicks"], _IMAGES / "throughput.svg")
    plot.freshness(result["freshness"], _IMAGES / "freshness.svg")
    if as_json:
        print_json(result)
        return
    _print_clicks(result.pop("clicks"))
    for name, part in result.items():
        _show(name, part, as_json=False)


def _clicks(*, quick: bool, without: list[str]) -> dict[str, Any]:
    from streams.bench import clicks as measurement

    with _reporting() as tell:
        return measurement.measure(
            events=300_000 if quick else 1_000_000,
            rounds=3 if quick else 5,
            batches=(500,) if quick else (500, 5000),
            longest_seconds=3.5 if quick else 15.0,
            without=without,
            tell=tell,
        )


def _reads(*, quick: bool) -> dict[str, Any]:
    from streams.bench import reads as measurement

    with _reporting():
        return measurement.measure(users=20_000 if quick else 1_000_000, calls=5_000 if quick else 20_000)


def _memory(*, quick: bool) -> dict[str, Any]:
    from streams.bench import memory as measurement

    with _reporting():
        return measurement.measure(users=2_000 if quick else 10_000)


def _freshness(*, quick: bool, kafka_home: Path | None) -> dict[str, Any]:
    from streams.bench import freshness as measurement

    with _reporting() as tell:
        return measurement.measure(
            events=100_000 if quick else 500_000, seconds=5.0 if quick else 30.0, kafka_home=kafka_home, tell=tell
        )


def _scale(*, quick: bool) -> dict[str, Any]:
    from streams.bench import scale as measurement

    users = (1_000, 10_000) if quick else (1_000, 10_000, 100_000, 1_000_000)
    with _reporting() as tell:
        return measurement.measure(
            events=100_000 if quick else 500_000,
            users=users,
            batch=500,
            longest_seconds=4.0 if quick else 15.0,
            tell=tell,
        )


def _savings(*, quick: bool) -> dict[str, Any]:
    from streams.bench import savings as measurement

    with _reporting():
        return measurement.measure(measurement.Stream(events=5_000 if quick else 100_000))


def _startup(*, quick: bool) -> dict[str, Any]:
    from streams.bench import startup as measurement

    with _reporting():
        return measurement.measure(rounds=1 if quick else 5)


@contextmanager
def _reporting() -> Iterator[Callable[[str], None]]:
    """Progress on stderr; what cannot be measured here ends the command with one line."""
    from streams.bench.contestants import ContestantFailedError, PeersUnavailableError
    from streams.embedded import EmbeddedUnavailableError
    from streams.logs import configure_logs

    configure_logs("WARNING", as_json=False)
    try:
        yield lambda line: typer.echo(line, err=True)
    except (ContestantFailedError, PeersUnavailableError, EmbeddedUnavailableError) as error:
        fail(BAD_NEWS, str(error))


def _show(title: str, result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    from rich.console import Console

    from streams.bench.tables import plain_table

    Console().print(plain_table(title, result))


def _print_clicks(result: dict[str, Any]) -> None:
    from rich.console import Console

    from streams.bench.tables import clicks_table

    console = Console()
    for table in clicks_table(result):
        console.print(table)
    console.print(result["note"], style="dim")
