"""Items as versions for the catalogue: what is kept of them in memory and in evidence is bounded."""

from streams.events import Item, ItemKind
from streams.observer import Recorder
from streams.reading import ItemReader, TextReader
from tests.fakes import KeywordExtractor


async def test_a_title_is_read_to_its_end_and_kept_short():
    """Every piece of evidence and every kind of click on the item would hold a copy of it."""
    items = ItemReader(TextReader(KeywordExtractor(), Recorder()))
    long = Item(item_id="i", kind=ItemKind.ARTICLE, title="long " * 100_000 + "opera")
    short = Item(item_id="i", kind=ItemKind.ARTICLE, title="all about cats", text="and a night at the opera")
    versions = await items.versions([(long, 0), (short, 0)])
    assert [len(version.title) for version in versions] == [120, len("all about cats")]
    assert [i.concept for i in versions[0].interests] == ["opera"]
