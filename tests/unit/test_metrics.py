"""What the pipeline tells, as Prometheus reads it."""

import re
import shutil
import subprocess
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from streams.metrics import FRESHNESS_BUCKETS, BulkHistogram, Metrics, write_replay_metrics
from streams.observer import (
    BatchApplied,
    DependencyChecked,
    EventsClamped,
    EventsRejected,
    InFlight,
    Lag,
    LagsMeasured,
    StageTimed,
    TextsRead,
)

PROMTOOL = shutil.which("promtool")
CLICKS = "penchant.clicks.v1"
BATCH = BatchApplied(CLICKS, 3, 7, 4, 1, 1, 1, 3, 2, {0.02: 2, 0.4: 1, 0.9: 1, 1.0: 1, 1.1: 1, -5.0: 1})
EVERYTHING = (
    BATCH,
    EventsRejected(CLICKS, {"invalid_json": 2, "missing_field": 1}),
    TextsRead("embedded", 10, 12, 4, 0, {"ungrounded_entity": 3}),
    StageTimed(CLICKS, "apply", 0.004),
    LagsMeasured({(CLICKS, 3): Lag(42, 1.5)}),
    DependencyChecked("redis", up=False),
    InFlight(CLICKS, 2),
    EventsClamped(CLICKS, 6),
)


def read(metrics):
    """Sample name and labels to value, as a scraper reads the exposition."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {(s.name, *(v for _, v in sorted(s.labels.items()))): s.value for family in families for s in family.samples}


@pytest.fixture
def told():
    metrics = Metrics()
    for event in EVERYTHING:
        metrics.observe(event)
    return metrics


def test_each_value_is_counted_where_a_dashboard_looks_for_it(told):
    samples = read(told)
    freshness = "penchant_event_to_profile_seconds"
    assert {
        key: samples[key] for key in samples if key[0].startswith("penchant_events") and key[0].endswith("_total")
    } == {
        ("penchant_events_total", "applied", CLICKS): 4,
        ("penchant_events_total", "duplicates", CLICKS): 1,
        ("penchant_events_total", "replayed", CLICKS): 1,
        ("penchant_events_total", "ruled_out", CLICKS): 1,
        ("penchant_events_total", "capped", CLICKS): 3,
        ("penchant_events_total", "rejected", CLICKS): 3,
        ("penchant_events_clamped_total", CLICKS): 6,
    }
    assert samples[f"{freshness}_bucket", "1.0", CLICKS] == 6
    assert samples[f"{freshness}_count", CLICKS] == 7
    assert samples[f"{freshness}_sum", CLICKS] == pytest.approx(3.44)
    assert samples["penchant_batch_records_sum", CLICKS] == 7
    assert samples["penchant_profile_evictions_total",] == 2
    assert samples["penchant_dead_letters_total", "invalid_json", CLICKS] == 2
    assert samples["penchant_extractions_total", "embedded"] == 10
    assert samples["penchant_interests_found_total", "embedded"] == 12
    assert samples["penchant_ledger_hits_total", "embedded"] == 4
    assert samples["penchant_grounding_drops_total", "ungrounded_entity"] == 3
    assert samples["penchant_stage_seconds_sum", "apply", CLICKS] == 0.004
    assert samples["penchant_consumer_lag_records", "3", CLICKS] == 42
    assert samples["penchant_consumer_lag_seconds", "3", CLICKS] == 1.5
    assert samples["penchant_dependency_up", "redis"] == 0
    assert samples["penchant_in_flight_batches", CLICKS] == 2
    assert samples["process_resident_memory_bytes",] > 0


def test_names_and_labels_keep_the_house_rules(told):
    for family in text_string_to_metric_families(told.exposition().decode()):
        assert re.fullmatch(r"(penchant|process)_[a-z_]+", family.name)
        assert family.documentation
        for sample in family.samples:
            assert not {"user", "user_id", "interest", "item", "text"} & set(sample.labels)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed: deploy/system-packages.sh")
def test_promtool_has_nothing_to_say(told):
    checked = subprocess.run([PROMTOOL, "check", "metrics"], input=told.exposition(), capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


@pytest.fixture
def replay_file(tmp_path):
    file = tmp_path / "replay.prom"
    write_replay_metrics(
        file,
        largest_difference=0.25,
        users={"compared": 7, "switched": 2},
        events={"applied": 90, "rejected": 1},
        texts={"ledger": 30},
        seconds=4.5,
        finished_at=1_795_000_000.0,
    )
    return file


def test_a_replay_is_told_in_a_file_and_names_no_user(replay_file):
    families = list(text_string_to_metric_families(replay_file.read_text()))
    found = {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}
    assert found == {
        ("penchant_replay_largest_difference",): 0.25,
        ("penchant_replay_users", "compared"): 7,
        ("penchant_replay_users", "switched"): 2,
        ("penchant_replay_events", "applied"): 90,
        ("penchant_replay_events", "rejected"): 1,
        ("penchant_replay_texts", "ledger"): 30,
        ("penchant_replay_seconds",): 4.5,
        ("penchant_replay_finished_timestamp_seconds",): 1_795_000_000.0,
    }


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed: deploy/system-packages.sh")
def test_promtool_has_nothing_to_say_of_it_either(replay_file):
    command = [PROMTOOL, "check", "metrics"]
    checked = subprocess.run(command, input=replay_file.read_bytes(), capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


@given(st.lists(st.lists(st.floats(-10, 5000), max_size=20), max_size=5))
def test_the_bulk_histogram_counts_as_the_client_library_does(batches):
    bulk = BulkHistogram("h", "-", "topic", FRESHNESS_BUCKETS)
    plain = Histogram("h", "-", ["topic"], registry=CollectorRegistry(), buckets=FRESHNESS_BUCKETS)
    for batch in batches:
        bulk.observe("t", Counter(batch))
        for value in batch:
            plain.labels("t").observe(max(value, 0.0))

    def samples(collector):
        (family,) = collector.collect()
        return {(s.name, s.labels.get("le")): pytest.approx(s.value) for s in family.samples if "created" not in s.name}

    if batches:
        plain.labels("t")
        assert samples(bulk) == {key: wanted.expected for key, wanted in samples(plain).items()}


def test_the_lag_of_a_partition_that_went_to_another_worker_is_told_no_more(told):
    told.observe(LagsMeasured({(CLICKS, 4): Lag(0, 0.0)}))
    lags = {key: value for key, value in read(told).items() if key[0].startswith("penchant_consumer_lag")}
    assert lags == {
        ("penchant_consumer_lag_records", "4", CLICKS): 0,
        ("penchant_consumer_lag_seconds", "4", CLICKS): 0,
    }
