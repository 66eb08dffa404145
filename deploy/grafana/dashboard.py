"""The Grafana dashboard, as code. Run it to write penchant.json beside it; a test holds the two together."""

import json
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import VariableRefresh
from panels import FRESHNESS, FULL, QUARTER, SOURCE, THIRD, lines, number, quantile, rate, within_objective

OUTPUT = Path(__file__).with_name("penchant.json")
OBJECTIVE = 0.99
OF_WORKERS = " and on (job, instance) penchant_dependency_up"


def build() -> dashboard.Dashboard:
    """The whole dashboard, the objective first."""
    board = (
        dashboard.Dashboard("Penchant")
        .uid("penchant")
        .description("From event to profile: freshness, throughput, reading, and what went wrong")
        .tags(["penchant"])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus").label("Prometheus"))
        .with_variable(
            dashboard.QueryVariable("topic")
            .label("Topic")
            .datasource(SOURCE)
            .query("label_values(penchant_batch_records_count, topic)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".*")
        )
    )
    for add in (_freshness, _throughput, _lag, _stages, _extraction, _trouble, _ground):
        add(board)
    return board


def _freshness(board: dashboard.Dashboard) -> None:
    bucket = FRESHNESS.format("_bucket")
    seconds = [(None, "green"), (1.0, "orange"), (5.0, "red")]
    board.with_row(dashboard.Row("Objective: 99% of clicks and comments are in their profile within 1 s"))
    board.with_panel(
        number(
            "Within 1 s",
            within_objective("$__range"),
            "percentunit",
            "Over the time range of the dashboard. The objective is 99%.",
            [(None, "red"), (0.95, "orange"), (OBJECTIVE, "green")],
        )
    )
    for title, q in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)):
        board.with_panel(
            number(
                f"Event to profile, {title}",
                quantile(q, bucket, window="5m"),
                "s",
                "From the append to Kafka until the profile shows it, over five minutes; no finer than the buckets.",
                seconds,
            )
        )
    board.with_panel(
        lines(
            "Event to profile",
            "s",
            "Quantiles over the topics chosen, of clicks and comments.",
            *((quantile(q, bucket), title) for title, q in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))),
        )
    )
    board.with_panel(
        lines(
            "Within 1 s, by topic",
            "percentunit",
            "Below 0.99 the error budget is being spent.",
            (within_objective("5m", "topic"), "{{topic}}"),
        )
    )


def _throughput(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Throughput"))
    events = 'penchant_events_total{topic=~"$topic"}'
    board.with_panel(
        lines("Events by topic", "eps", "All outcomes.", (rate(events, "topic"), "{{topic}}"), span=THIRD, stacked=True)
    )
    board.with_panel(
        lines(
            "Events by outcome",
            "eps",
            "duplicates: sent twice by the producer; replayed: read again after a restart; ruled_out: by its own user; "
            "capped: beyond an influence cap.",
            (rate(events, "outcome"), "{{outcome}}"),
            span=THIRD,
        )
    )
    size = 'penchant_batch_records_{}{{topic=~"$topic"}}'
    board.with_panel(
        lines(
            "Records in a batch",
            "short",
            "Batches grow with the load: few records mean that there is room.",
            (f"{rate(size.format('sum'), 'topic')} / {rate(size.format('count'), 'topic')}", "mean {{topic}}"),
            (quantile(0.99, size.format("bucket"), "topic"), "p99 {{topic}}"),
            span=THIRD,
        )
    )


def _lag(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Lag"))
    where = '{topic=~"$topic"}'
    board.with_panel(
        lines(
            "Records behind",
            "short",
            "Summed over partitions.",
            (f"sum by (topic) (penchant_consumer_lag_records{where})", "{{topic}}"),
            span=THIRD,
        )
    )
    board.with_panel(
        lines(
            "Seconds behind",
            "s",
            "The age of the last applied record while records wait, in the worst partition.",
            (f"max by (topic) (penchant_consumer_lag_seconds{where})", "{{topic}}"),
            span=THIRD,
        )
    )
    board.with_panel(
        lines(
            "Batches in flight",
            "short",
            "At its limit (PENCHANT_MAX_IN_FLIGHT) reading is the bottleneck.",
            (f"sum by (topic) (penchant_in_flight_batches{where})", "{{topic}}"),
            span=THIRD,
        )
    )


def _stages(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Stages of a batch"))
    board.with_panel(
        lines(
            "p99 by stage",
            "s",
            "read: extraction and ledger; apply: the Redis function; publish: dead letters and profile updates.",
            (quantile(0.99, "penchant_stage_seconds_bucket", "stage"), "{{stage}}"),
        )
    )
    board.with_panel(
        lines(
            "Busy by stage",
            "short",
            "Seconds spent in a stage for each second of time, over all workers: the tallest is the bottleneck.",
            (rate("penchant_stage_seconds_sum", "stage"), "{{stage}}"),
            stacked=True,
        )
    )


def _extraction(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Reading"))
    texts, hits = "penchant_extractions_total", "penchant_ledger_hits_total"
    board.with_panel(
        lines(
            "Texts by tier",
            "short",
            "Texts a second. gate: nothing to read; embedded beside vllm: estimates while a server is away.",
            (rate(texts, "tier"), "{{tier}}"),
            span=THIRD,
            stacked=True,
        )
    )
    board.with_panel(
        lines(
            "Read before",
            "percentunit",
            "The share of texts whose reading was in the ledger: they cost nothing.",
            (f"{rate(hits, 'tier')} / {rate(texts, 'tier')}", "{{tier}}"),
            span=THIRD,
        )
    )
    board.with_panel(
        lines(
            "Interests in a text",
            "short",
            "A fall to zero means that reading is broken, a rise that it invents.",
            (f"{rate('penchant_interests_found_total', 'tier')} / {rate(texts, 'tier')}", "{{tier}}"),
            span=THIRD,
        )
    )
    board.with_panel(
        lines(
            "Tokens",
            "short",
            "Prompt and output tokens a second.",
            (rate("penchant_tokens_total", "tier"), "{{tier}}"),
        )
    )
    board.with_panel(
        lines(
            "Findings dropped",
            "short",
            "By the check that failed: ungrounded_entity is the rate of invention, answer_*: answers of no use.",
            (rate("penchant_grounding_drops_total", "reason"), "{{reason}}"),
        )
    )


def _trouble(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Trouble"))
    where = '{topic=~"$topic"}'
    board.with_panel(
        lines(
            "Dead letters by reason",
            "eps",
            "Each is in penchant.dead-letters.v1 with its origin; `penchant check` tells producers what to change.",
            (rate(f"penchant_dead_letters_total{where}", "topic, reason"), "{{topic}} {{reason}}"),
            span=FULL,
            stacked=True,
        )
    )
    board.with_panel(
        lines(
            "Events from the future",
            "eps",
            "Clamped to their Kafka timestamp: a producer's clock is wrong.",
            (rate(f"penchant_events_clamped_total{where}", "topic"), "{{topic}}"),
        )
    )
    board.with_panel(
        lines(
            "Interests evicted",
            "short",
            "A second, by PENCHANT_MAX_INTERESTS. Many mean that profiles are cut short.",
            (rate("penchant_profile_evictions_total"), "evicted"),
        )
    )


def _ground(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Redis, dependencies, workers"))
    applying = 'penchant_stage_seconds_bucket{stage="apply"}'
    board.with_panel(
        lines(
            "Redis write of a batch",
            "s",
            "The apply stage: one function call a user, pipelined.",
            *((quantile(q, applying), title) for title, q in (("p50", 0.5), ("p99", 0.99))),
            span=QUARTER,
        )
    )
    board.with_panel(
        lines(
            "Dependencies up",
            "short",
            "1: every worker reaches it.",
            ("min by (name) (penchant_dependency_up)", "{{name}}"),
            span=QUARTER,
        )
    )
    board.with_panel(
        lines(
            "CPU",
            "percentunit",
            "Of one core, by worker. A worker uses one: scale by workers.",
            (f"rate(process_cpu_seconds_total[$__rate_interval]){OF_WORKERS}", "{{instance}}"),
            span=QUARTER,
        )
    )
    board.with_panel(
        lines(
            "Memory",
            "bytes",
            "Resident, by worker.",
            (f"process_resident_memory_bytes{OF_WORKERS}", "{{instance}}"),
            span=QUARTER,
        )
    )


def render() -> str:
    """The dashboard as Grafana imports it."""
    return json.dumps(json.loads(JSONEncoder(sort_keys=True).encode(build().build())), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(render())
