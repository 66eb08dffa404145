"""Temporary."""
from inference.extraction import *
from profiles.model import Stance
class EmbeddedExtractor:
    reader='stub-1'
    def __init__(self, taxonomy): self.t=taxonomy
    async def extract(self, passages):
        return [Extraction(tuple({m.concept.id: Interest(m.concept.slug,m.concept.id,Stance.LIKE,0.7) for m in self.t.mentions(p.text)}.values()),Tier.EMBEDDED,self.reader,p.text) for p in passages]
    async def aclose(self): pass
