"""Measurements side by side: Penchant's worker against its peers, on the same servers, the same events, in one run."""
