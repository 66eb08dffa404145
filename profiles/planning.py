"""From observations to updates: pure, so that the same log always gives the same profile."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import exp2, log2

from .decay import FORGOTTEN_HALF_LIVES
from .model import NO_RULES, Evidence, Observation, ProfileUpdate, Rules, Stance
from .policy import NEUTRAL_SHARE, Policy

_DISLIKE, _NEUTRAL = Stance.DISLIKE, Stance.NEUTRAL
_FORGOTTEN = exp2(-FORGOTTEN_HALF_LIVES)


def by_user(observations: Iterable[Observation]) -> dict[str, list[Observation]]:
    """Group a batch by user, keeping log order."""
    users: dict[str, list[Observation]] = {}
    for observation in observations:
        users.setdefault(observation.user, []).append(observation)
    return users


def without_repeats(observations: Sequence[Observation]) -> list[Observation]:
    """One user's observations with only the first of each event id."""
    if len(observations) == 1:
        return list(observations)
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
    newest = newest_admitted = max([o.at for o in observations])
    admitted = observations
    if rules.version or capped:
        admitted = [o for o in observations if o.event_id not in capped and rules.admits(o)]
        newest_admitted = max([o.at for o in admitted], default=-1)
    sums = _sum_weights(admitted, newest, policy, rules)
    return ProfileUpdate(
        user=observations[0].user,
        log=log,
        observations=observations,
        capped=[place for place, o in enumerate(observations) if o.event_id in capped] if capped else (),
        newest=newest_admitted,
        events=len(admitted),
        rules_version=rules.version,
        sets={key: _to_scores(weights, newest, policy.half_lives[key[1]]) for key, weights in sums.items()},
        evidence=_evidence(admitted, policy.evidence_per_interest, rules),
    )


def _sum_weights(
    observations: Sequence[Observation], newest: int, policy: Policy, rules: Rules
) -> Mapping[tuple[Stance, str], dict[str, float]]:
    """Decayed sums at ``newest``, by set and interest: one logarithm an interest instead of one a signal."""
    sums: dict[tuple[Stance, str], dict[str, float]] = {}
    for horizon in policy.horizons:
        half_life = horizon.half_life
        likes: dict[str, float] = {}
        dislikes: dict[str, float] = {}
        for observation in observations:
            decayed = exp2((observation.at - newest) / half_life)
            for interest, stance, strength, _, _ in observation.signals:
                if rules is not NO_RULES and not rules.admits_interest(interest, observation.at):
                    continue
                weight = decayed * strength * NEUTRAL_SHARE if stance is _NEUTRAL else decayed * strength
                weights = dislikes if stance is _DISLIKE else likes
                weights[interest] = weights[interest] + weight if interest in weights else weight
        if likes:
            sums[Stance.LIKE, horizon.name] = likes
        if dislikes:
            sums[Stance.DISLIKE, horizon.name] = dislikes
    return sums


def _to_scores(weights: Mapping[str, float], newest: int, half_life: int) -> dict[str, int]:
    return {
        interest: round(newest + half_life * log2(weight))
        for interest, weight in weights.items()
        if weight >= _FORGOTTEN
    }


def _evidence(observations: Sequence[Observation], limit: int, rules: Rules) -> dict[str, list[Evidence]]:
    """The newest ``limit`` signals of each interest, newest first."""
    evidence: dict[str, list[Evidence]] = {}
    if not limit:
        return evidence
    for observation in reversed(observations):
        for signal in observation.signals:
            lines = evidence.setdefault(signal.interest, [])
            if len(lines) < limit and rules.remembers(signal.interest, observation.at):
                lines.append(
                    Evidence(
                        event=observation.event_id,
                        at=observation.at,
                        weight=signal.strength * (NEUTRAL_SHARE if signal.stance is _NEUTRAL else 1.0),
                        stance=signal.stance,
                        source=signal.source,
                        reader=signal.reader,
                        target=observation.target,
                    )
                )
    return {interest: lines for interest, lines in evidence.items() if lines}
