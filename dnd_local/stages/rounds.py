"""Further candidates from what the first ones are worth: which neurons go on, and what is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from numpy.typing import ArrayLike

from dnd_local.core.config import ConceptsConfig, LlmConfig
from dnd_local.core.ledger import OURS, Ledger
from dnd_local.core.protocols import LanguageModel, Prompts
from dnd_local.core.ranking import best_first, share_below
from dnd_local.core.records import Concepts, Phrases, Rule, Scores
from dnd_local.core.sequences import distinct
from dnd_local.stages.concepts import Asking, conceive


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """What a neuron's next round is asked from.

    `trial` are the scores of all candidates so far; `before` what the round before proposed, None
    in the first; `cold` and `middling` captions; `natural` the responses to the probe set (n,).
    """

    phrases: Phrases
    trial: Scores
    before: Concepts | None
    cold: tuple[str, ...]
    middling: tuple[str, ...]
    natural: ArrayLike

    def goes_on(self, rule: Rule) -> bool:
        """Return whether another round may help.

        It may where there is a candidate and, after the first round, where the best one comes from
        the round before: a round that improved nothing is the last.
        """
        if not self.trial.candidates or self.before is None:
            return bool(self.trial.candidates)
        best = best_first(self.trial.candidates, rule)[0].text
        return best in {candidate.text for candidate in self.before.candidates}

    def lines(self, rule: Rule) -> str:
        """Return a line for each candidate, best first: how many images of a hundred excite less.

        What counts is the median response to its pictures.
        """
        return "\n".join(
            f"{candidate.text}: {100 * share_below(candidate.responses, self.natural):.0f}"
            for candidate in best_first(self.trial.candidates, rule)
        )


def refine(
    batch: Sequence[Tried],
    language_model: LanguageModel,
    prompts: Prompts,
    llm: LlmConfig,
    config: ConceptsConfig,
    rule: Rule,
    run_seed: int,
    number: int,
    ledger: Ledger = OURS,
) -> list[Concepts]:
    """Return each neuron's further candidates of round `number`, none where it does not go on."""
    going = [tried for tried in batch if tried.goes_on(rule)]
    asking = [
        Asking(
            "refine",
            {
                "others": in_lines(tried.cold),
                "middling": in_lines(tried.middling),
                "tried": tried.lines(rule),
            },
            frozenset(candidate.text for candidate in tried.trial.candidates),
            ("round", number),
        )
        for tried in going
    ]
    phrases = [tried.phrases for tried in going]
    proposed = conceive(
        phrases, language_model, prompts, llm, config, run_seed, ledger, asking
    )  # fmt: skip
    new = {concepts.neuron: concepts for concepts in proposed}
    return [
        new.get(tried.trial.neuron, Concepts(tried.trial.neuron, (), (), ())) for tried in batch
    ]


def in_lines(texts: Sequence[str]) -> str:
    """Return texts as they stand in a prompt, each once, one a line; "none" where there is none."""
    return "\n".join(distinct(texts)) or "none"
