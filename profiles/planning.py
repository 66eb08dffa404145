"""From observations to updates: pure, so that the same log always gives the same profile."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from math import exp2, log2

from .decay import FORGOTTEN_HALF_LIVES
from .model import NO_RULES, Evidence, Observation, ProfileUpdate, Rules, Signal, Stance
from .policy import NEUTRAL_SHARE, Policy

_FORGOTTEN = exp2(-FORGOTTEN_HALF_LIVES)
_Weight = tuple[str, bool, float]
"""An interest, whether it is disliked, and how much it weighs."""


class Signals(tuple[Signal, ...]):  # noqa: SLOT001 - what was worked out is kept in the instance
    """The signals of one event, prepared for planning once: for those that many events share."""

    @cached_property
    def weights(self) -> tuple[_Weight, ...]:
        """What each signal adds at the moment of its event."""
        return tuple((s.interest, s.stance is Stance.DISLIKE, _weight(s)) for s in self)

    @cached_property
    def half_lives(self) -> tuple[tuple[Stance, tuple[tuple[str, float], ...]], ...]:
        """By stance and interest: how many half-lives after an event that stands alone it will weigh 1."""
        return tuple(
            (stance, tuple((interest, log2(weight)) for interest, weight in sums.items() if weight >= _FORGOTTEN))
            for stance, sums in _sum_up([(0, self.weights)], 1)
        )


def _prepared(signals: tuple[Signal, ...]) -> Signals:
    return signals if type(signals) is Signals else Signals(signals)


def _weight(signal: Signal) -> float:
    return signal.strength * (NEUTRAL_SHARE if signal.stance is Stance.NEUTRAL else 1.0)


def by_user(observations: Iterable[Observation]) -> dict[str, list[Observation]]:
    """Group a batch by user, keeping log order."""
    users: dict[str, list[Observation]] = {}
    for observation in observations:
        users.setdefault(observation.user, []).append(observation)
    return users


def without_repeats(observations: list[Observation]) -> list[Observation]:
    """One user's observations with only the first of each event id."""
    if len(observations) == 1 or len({o.event_id for o in observations}) == len(observations):
        return observations
    return list({o.event_id: o for o in reversed(observations)}.values())[::-1]


def plan(
    log: str,
    observations: Sequence[Observation],
    policy: Policy,
    rules: Rules = NO_RULES,
    capped: Collection[str] = (),
) -> ProfileUpdate:
    """The update that one user's observations of one batch amount to.

    ``observations`` are of one user, in log order, without repeated event ids. Those that ``rules`` forbid, and those
    whose ids are ``capped``, still move the position and still count as seen, so that a redelivery finds them done.
    """
    admitted = observations
    if rules.version or capped:
        admitted = [o for o in observations if o.event_id not in capped and rules.admits(o)]
    newest = max([o.at for o in admitted]) if admitted else -1
    sets = _scores(admitted, newest, policy, rules)
    return ProfileUpdate(
        user=observations[0].user,
        log=log,
        observations=observations,
        capped=[place for place, o in enumerate(observations) if o.event_id in capped] if capped else (),
        newest=newest,
        events=len(admitted),
        rules_version=rules.version,
        sets=sets,
        evidence=_evidence(admitted, sets.values(), policy.evidence_per_interest, rules),
    )


def _scores(
    observations: Sequence[Observation], newest: int, policy: Policy, rules: Rules
) -> dict[tuple[Stance, str], dict[str, int]]:
    """The effective times of the summed signals, by set and interest, without what is forgotten at ``newest``."""
    if rules is not NO_RULES:
        observations = [_as_ruled(o, rules) for o in observations]
    if len(observations) == 1:
        half_lives = _prepared(observations[0].signals).half_lives
        return {
            (stance, name): {interest: newest + round(half_life * later) for interest, later in pairs}
            for stance, pairs in half_lives
            for name, half_life in policy.half_lives.items()
        }
    events = [(o.at - newest, _prepared(o.signals).weights) for o in observations]
    sets = {}
    for name, half_life in policy.half_lives.items():
        for stance, sums in _sum_up(events, half_life):
            sets[stance, name] = {
                interest: newest + round(half_life * log2(weight))
                for interest, weight in sums.items()
                if weight >= _FORGOTTEN
            }
    return sets


def _as_ruled(observation: Observation, rules: Rules) -> Observation:
    """The observation without the signals of interests that are muted for it."""
    at = observation.at
    return observation._replace(signals=tuple(s for s in observation.signals if rules.admits_interest(s.interest, at)))


def _sum_up(events: Iterable[tuple[int, Iterable[_Weight]]], half_life: int) -> list[tuple[Stance, dict[str, float]]]:
    """What the weights, each given with its instant, sum up to at the instant 0; by stance, if any.

    Weights are summed, and not effective times: one logarithm an interest instead of one a signal.
    """
    likes: dict[str, float] = {}
    dislikes: dict[str, float] = {}
    for at, weights in events:
        decayed = exp2(at / half_life)
        for interest, disliked, weight in weights:
            sums = dislikes if disliked else likes
            sums[interest] = sums[interest] + decayed * weight if interest in sums else decayed * weight
    return [(stance, sums) for stance, sums in ((Stance.LIKE, likes), (Stance.DISLIKE, dislikes)) if sums]


def _evidence(
    observations: Sequence[Observation], sets: Iterable[Mapping[str, int]], limit: int, rules: Rules
) -> dict[str, list[Evidence]]:
    """The newest ``limit`` signals of each interest, newest first.

    Not of one that is forgotten already and so in none of the ``sets``: nothing bounds how many these are.
    """
    if not limit:
        return {}
    evidence: dict[str, list[Evidence]] = {}
    for observation in reversed(observations):
        for signal in observation.signals:
            lines = evidence.setdefault(signal.interest, [])
            if len(lines) < limit and rules.remembers(signal.interest, observation.at):
                lines.append(
                    Evidence(
                        event=observation.event_id,
                        at=observation.at,
                        weight=_weight(signal),
                        stance=signal.stance,
                        source=signal.source,
                        reader=signal.reader,
                        target=observation.target,
                    )
                )
    if len(observations) > 1:  # one alone is in its sets
        shown = set[str]().union(*sets)
        evidence = {i: lines for i, lines in evidence.items() if i in shown or rules.is_muted(i)}
    return {interest: lines for interest, lines in evidence.items() if lines}
