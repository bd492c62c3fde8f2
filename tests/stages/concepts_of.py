"""The candidates that one scripted reply makes, through the stage itself."""

from __future__ import annotations

from dnd_local.core.config import ConceptsConfig
from dnd_local.core.ledger import RELEASED
from dnd_local.core.records import Phrases
from dnd_local.stages.concepts import conceive
from tests.stages.scripted import Scripted
from tests.stages.world import LLM, SEED, neurons, prompts


def candidates_of(reply: str, merged: str) -> list[str]:
    """Return the candidates of one released draw whose list, if it is one, is merged once."""
    own = Phrases(neurons(0)[0], ("red",), ())
    config = ConceptsConfig(count=1, max_draws=1)
    model = Scripted(reply, merged)
    (found,) = conceive([own], model, prompts(), LLM, config, SEED, RELEASED)
    return [candidate.text for candidate in found.candidates]
