"""Commands about one user's profile: top, why, forget, pin, unpin, mute, unmute."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .shared import Json, fail, print_json, reaching, settings

if TYPE_CHECKING:
    from profiles.reader import InterestReader
    from streams.settings import Settings

User = Annotated[str, typer.Argument(help="the user's id")]
Interest = Annotated[str, typer.Argument(help="an interest, as 'top' shows it")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(top)
    app.command()(why)
    app.command()(forget)
    for ruling, help_text in (
        ("pin", "Keep an interest at the head of a user's list."),
        ("unpin", "Take a pin back."),
        ("mute", "Remove an interest from a profile and keep it out."),
        ("unmute", "Let an interest in again, from now on."),
    ):
        app.command(ruling, help=help_text)(_ruling(ruling))


def top(
    user: User,
    *,
    n: Annotated[int, typer.Option("-n", help="how many", min=1)] = 10,
    horizon: Annotated[str, typer.Option(help="time scale")] = "now",
    dislikes: Annotated[bool, typer.Option("--dislikes", help="aversions instead of likes")] = False,
    as_json: Json = False,
) -> None:
    """Show what a user is into, strongest first."""
    from profiles.model import Stance
    from profiles.reader import UnknownHorizonError

    effective = settings()
    stance = Stance.DISLIKE if dislikes else Stance.LIKE
    with reaching(effective):
        try:
            ranked = _reader(effective).top(user, n, horizon, stance=stance)
        except UnknownHorizonError as error:
            fail(2, str(error.args[0]))
    if as_json:
        print_json(
            [{"interest": r.interest, "weight": r.weight, "stance": r.stance, "pinned": r.pinned} for r in ranked]
        )
        return
    if not ranked:
        typer.echo(f"nothing is known of '{user}' on the horizon '{horizon}'")
    strongest = max((r.weight for r in ranked), default=0.0) or 1.0
    for r in ranked:
        bar = "█" * max(1, round(24 * r.weight / strongest))
        typer.echo(f"{r.weight:10.4f}  {bar:<24}  {r.interest}{'  (pinned)' if r.pinned else ''}")


def why(user: User, interest: Interest, *, as_json: Json = False) -> None:
    """Show the evidence that put an interest into a profile, newest first."""
    from streams.instants import rfc3339

    effective = settings()
    with reaching(effective):
        evidence = _reader(effective).why(user, interest)
    rows = [
        {
            "event": e.event,
            "at": rfc3339(e.at),
            "weight": e.weight,
            "stance": e.stance,
            "source": e.source,
            "reader": e.reader,
        }
        for e in evidence
    ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        typer.echo(f"no evidence is kept for '{interest}' of '{user}'")
    for row in rows:
        typer.echo(
            f"{row['at']}  {row['stance']:<8}{row['weight']:7.3f}  {row['source']}  ({row['event']}, {row['reader']})"
        )


def forget(
    user: User, *, yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False, as_json: Json = False
) -> None:
    """Erase a user's profile, evidence and rules; a mark keeps late events from bringing it back."""
    effective = settings()
    if not yes and not as_json:
        typer.confirm(f"Erase all that is known of '{user}'?", abort=True)
    with reaching(effective):
        receipt = asyncio.run(_forget(effective, user))
    receipt["published"] = _publish(effective, user, {"command": "forget", "occurred_at": receipt["at"]})
    if as_json:
        print_json(receipt)
    else:
        for key, entries in receipt["removed"].items():
            typer.echo(f"removed {entries:>5} entries of {key}")
        left = ", ".join(receipt["left"]) or "nothing"
        typer.echo(f"scanned {receipt['scanned']} keys; what is left holds no interest: {left}")
        if not receipt["published"]:
            typer.echo("Kafka did not answer: other copies of the profile were not told; repeat when it does", err=True)
    if not receipt["verified"]:
        fail(1, "a second scan still found interests: events newer than the command may have arrived; repeat it")


async def _forget(effective: "Settings", user: str) -> dict[str, Any]:
    from streams.runtime import open_store

    async with open_store(effective) as store:
        before = await store.keys_of(user)
        now = datetime.now(UTC)
        receipt = await store.forget(user, int(now.timestamp() * 1_000_000))
        left = await store.keys_of(user)
    return {
        "user": user,
        "at": now.isoformat(),
        "scanned": len(before),
        "removed": dict(receipt.removed),
        "left": left,
        "verified": all(key.endswith((":meta", ":rules", ":seen")) for key in left),
    }


def _ruling(ruling: str) -> Any:
    def command(user: User, interest: Interest) -> None:
        effective = settings()
        at = datetime.now(UTC).isoformat()
        if not _publish(effective, user, {"command": ruling, "interest": interest, "occurred_at": at}):
            fail(3, f"Kafka at {effective.kafka_bootstrap} does not answer: set PENCHANT_KAFKA_BOOTSTRAP")
        typer.echo(f"{ruling} '{interest}' for '{user}': sent")

    return command


def _publish(effective: "Settings", user: str, body: dict[str, Any]) -> bool:
    from streams.publishing import Publisher, PublishError

    try:
        with Publisher(effective) as publisher:
            publisher.send({"user_id": user, **body})
    except PublishError:
        return False
    return True


def _reader(effective: "Settings") -> "InterestReader":
    from profiles.reader import InterestReader
    from streams.runtime import policy_of

    horizons = {h.name: h.half_life / 1_000_000 for h in policy_of(effective).horizons}
    return InterestReader.from_url(effective.redis_url.get_secret_value(), horizons=horizons)
