"""The judge: every profile against the oracle, every event accounted for."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from redis import Redis

from profiles import keys
from profiles.decay import weight_at
from tests.faults.ground import Ground
from tests.faults.story import Story
from tests.faults.vllm import kept
from tests.oracle import HALF_LIVES_US, Shown, assert_same, weights

_SHOWN = 12


@dataclass
class Verdict:
    """What was found. ``lost`` and ``doubled`` are events, ``by_model`` pieces of evidence that are vLLM's reading."""

    events: int = 0
    duplicates: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    doubled: int = 0
    by_model: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Nothing lost, nothing doubled, nothing odd."""
        return not (self.lost or self.doubled or self.findings)


def judge(ground: Ground, story: Story) -> Verdict:
    """Hold what is in Valkey and in the dead-letter topic against the story."""
    verdict = Verdict()
    shown = story.shown(ground.log.appended_ms)
    by_user: dict[str, list[Shown]] = defaultdict(list)
    for event in shown:
        by_user[event.user].append(event)
    for user, events in by_user.items():
        _judge_user(ground.redis, story, user, events, verdict, by_evidence=ground.vllm is not None)
    _judge_letters(ground, story, verdict)
    del verdict.findings[_SHOWN:]
    return verdict


def _judge_user(
    redis: Redis, story: Story, user: str, events: list[Shown], verdict: Verdict, *, by_evidence: bool = False
) -> None:
    at = max(event.at for event in events)
    distinct = len({event.event_id for event in events})
    verdict.events += len(events)
    verdict.duplicates += len(events) - distinct
    if user not in story.rulers:  # who forgets also forgets how many events there were
        counted = int(redis.hget(keys.meta(user), "events") or 0)
        verdict.lost += max(distinct - counted, 0)
        verdict.doubled += max(counted - distinct, 0)
        if counted != distinct:
            verdict.findings.append(f"{user}: {counted} events counted, {distinct} expected")
    if by_evidence:
        found = kept(redis, user, events)
        verdict.findings += found.odd
        verdict.by_model += found.by_model
        events = found.shown
    expected = weights(events, story.commands, at=at).get(user, {})
    try:
        assert_same(_profile(redis, user, at), expected)
    except AssertionError as difference:
        verdict.findings.append(f"{user}: {difference}")


def _profile(redis: Redis, user: str, at: int) -> Mapping[tuple[str, str], Mapping[str, float]]:
    return {
        (stance, horizon): {
            member.decode(): weight_at(score, at, half_life)
            for member, score in redis.zrange(keys.interests(user, stance, horizon), 0, -1, withscores=True)
        }
        for horizon, half_life in HALF_LIVES_US.items()
        for stance in ("like", "dislike")
    }


def _judge_letters(ground: Ground, story: Story, verdict: Verdict) -> None:
    """Every bad event has a letter with its reason, and no good one has any."""
    reasons: dict[bytes, set[str]] = defaultdict(set)
    if ground.vllm is not None and not verdict.by_model:
        verdict.findings.append("no text was read by the model: the stand-in was never asked")
    good: dict[bytes, Any] = {m.value: m for m in story.messages if m.value not in story.rejects}
    for value, letter in ground.log.letters(set(story.rejects)):
        reasons[value].add(letter["reason"])
        if value in good:
            verdict.lost += 1
            verdict.findings.append(f"a good event was rejected: {letter['reason']} {letter['detail']} {value!r:.120}")
    for value, reason in story.rejects.items():
        if reasons[value] == {reason}:
            verdict.rejected[reason] += 1
        else:
            verdict.lost += not reasons[value]
            verdict.findings.append(f"{value!r:.100}: letters {sorted(reasons[value])}, {reason} expected")
