"""The readers' types as their users see them: checked by mypy --strict in `make types`, not run."""

from datetime import UTC, datetime
from typing import assert_type

from profiles.model import Evidence, RankedInterest, Stance
from profiles.reader import AsyncInterestReader, InterestReader


def synchronous(reader: InterestReader) -> None:
    assert_type(reader.top("u1", 10, "now", at=datetime.now(UTC)), list[RankedInterest])
    assert_type(reader.top("u1", stance=Stance.DISLIKE, at=1_795_000_000.0)[0].weight, float)
    assert_type(reader.many(["u1", "u2"]), dict[str, list[RankedInterest]])
    assert_type(reader.vector("u1", ("cats", "opera")), list[float])
    assert_type(reader.why("u1", "cats"), list[Evidence])


async def asynchronous(reader: AsyncInterestReader) -> None:
    assert_type(await reader.top("u1"), list[RankedInterest])
    assert_type(await reader.many(iter(["u1"])), dict[str, list[RankedInterest]])
    assert_type(await reader.vector("u1", ["cats"], "lasting"), list[float])
    assert_type(await reader.why("u1", "cats"), list[Evidence])
