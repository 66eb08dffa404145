"""``penchant worker`` with a defect: a text that says CRASH crashes what reads it, and the error quotes it.

Run as a module.
"""

import sys
from collections.abc import Sequence

from inference.extraction import Extraction, Extractor, Passage
from streams import cli, runtime


class CrashingExtractor:
    def __init__(self, inner: Extractor) -> None:
        self._inner = inner
        self.reader = inner.reader
        self.aclose = inner.aclose

    async def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        for passage in passages:
            if "CRASH" in passage.text:
                raise ValueError(f"cannot digest {passage.text}")
        return await self._inner.extract(passages)


def main() -> None:
    sound = runtime.extractor_of
    runtime.extractor_of = lambda *args: CrashingExtractor(sound(*args))
    sys.argv[1:] = ["worker"]
    cli.main()


if __name__ == "__main__":
    main()
