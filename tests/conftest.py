"""What every test shares: the same hypothesis examples each time, on machines of any speed."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True, database=None)
settings.load_profile("house")
