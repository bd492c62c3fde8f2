"""Stage 2c: candidate concepts, drawn several times from the phrases in another order each time."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dnd_local.core.config import ConceptsConfig, LlmConfig
from dnd_local.core.conversations import Exchange, Purpose
from dnd_local.core.digest import seed
from dnd_local.core.ledger import OURS, Ledger, Side
from dnd_local.core.protocols import LanguageModel, Prompts
from dnd_local.core.records import Candidate, Concepts, Phrases, Reject
from dnd_local.stages.asking import WORDINGS, Question, Wording, ask
from dnd_local.stages.letter import spell_list

_DRAWS: Final[Mapping[Side, Callable[[ConceptsConfig], int]]] = {
    "ours": lambda config: config.max_draws,
    "released": lambda config: config.count,
}
"""Row 10 of the ledger: how many draws a neuron may have."""

MOST_REPEATS: Final = 4
"""When so many draws in a row repeat a label, another is hardly ever new (docs/performance.md)."""


@dataclass(frozen=True, slots=True)
class _Manner:
    """One side of row 19 but for the limit of a reply.

    Attributes:
        order: from phrases, the run's seed, what the phrases are of, and the number of a draw:
            the phrases as that draw shows them.
        spell: a list as it is sent to be merged.
    """

    order: Callable[[Sequence[str], int, tuple[str | int, ...], int], list[str]]
    spell: Callable[[str], str]


def _shuffled(
    texts: Sequence[str], run_seed: int, about: tuple[str | int, ...], draw: int
) -> list[str]:
    order = list(texts)
    random.Random(seed(run_seed, "order", *about, draw)).shuffle(order)
    return order


def _shuffled_on(
    texts: Sequence[str], run_seed: int, about: tuple[str | int, ...], draw: int
) -> list[str]:
    """Return the phrases as given for draw 0; each later draw shuffles the one before."""
    order = list(texts)
    for number in range(1, draw + 1):
        order = _shuffled(order, run_seed, about, number)
    return order


_MANNERS: Final[Mapping[Side, _Manner]] = {
    "ours": _Manner(_shuffled, lambda label: label),
    "released": _Manner(_shuffled_on, spell_list),
}
"""Row 19 of the ledger."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How a neuron's candidates are asked for.

    Attributes:
        prompt: the prompt, which shows the phrases.
        variables: what else it shows, by the variable's name.
        known: labels that the neuron has already; a draw of one is a repeat.
        about: what sets these draws apart from others about the same neuron; enters their seeds.
    """

    prompt: Purpose = "summarise"
    variables: Mapping[str, str] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    about: tuple[str | int, ...] = ()


@dataclass(slots=True)
class _Draws:
    """One neuron's draws so far."""

    phrases: Phrases
    wording: Wording
    asking: Asking
    drawn: int = 0
    distinct: int = 0
    repeats: int = 0
    candidates: list[Candidate] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)

    def wanted(self, count: int, bound: int) -> range:
        """Return the numbers of the next draws: as many as `count` lacks, within the bound.

        None where there is no phrase, or where the last draws only repeated what was there.
        """
        if not self.phrases.texts or self.repeats >= MOST_REPEATS:
            return range(0)
        more = min(count - self.distinct, bound - self.drawn)
        return range(self.drawn, self.drawn + max(more, 0))

    def take(self, draw: int, exchanges: Sequence[Exchange]) -> None:
        """Enter the outcome of one draw: a new candidate, a repeat, or a reject."""
        self.drawn = max(self.drawn, draw + 1)
        self.exchanges.extend(exchanges)
        last = exchanges[-1]
        if reason := last.problem or self.wording.merged(last.text):
            self.rejects.append(Reject(last.reply.text, reason, draw))
            return
        label, *twins = self.wording.enter(last.text)
        known = {candidate.text for candidate in self.candidates} | self.asking.known
        if label in known:
            self.repeats += 1
            return
        self.distinct, self.repeats = self.distinct + 1, 0
        self.candidates += [
            Candidate(text, last.reply.text, draw) for text in (label, *twins) if text not in known
        ]

    @property
    def about(self) -> tuple[str | int, ...]:
        """What the draws are about, for their seeds."""
        neuron = self.phrases.neuron
        return (neuron.target, neuron.layer, neuron.index, *self.asking.about)


def conceive(
    batch: Sequence[Phrases],
    language_model: LanguageModel,
    prompts: Prompts,
    llm: LlmConfig,
    config: ConceptsConfig,
    run_seed: int,
    ledger: Ledger = OURS,
    asking: Sequence[Asking] = (),
) -> list[Concepts]:
    """Return each neuron's candidate concepts; `asking` says how each is asked about.

    `count` draws at first; where labels repeat, more until `count` are distinct, `MOST_REPEATS` in
    a row repeat, or `max_draws` are spent (none under the released side of `ledger`). A reply that
    lists several is sent back once, alone, to be merged. The questions of all neurons of a round go
    out together.
    """
    wording, bound = WORDINGS[ledger.wording], _DRAWS[ledger.top_up](config)
    manner = _MANNERS[ledger.draws]
    every = asking or [Asking()] * len(batch)
    draws = [_Draws(phrases, wording, how) for phrases, how in zip(batch, every, strict=True)]
    while open_draws := [(drawn, d) for drawn in draws for d in drawn.wanted(config.count, bound)]:
        questions = [
            _summarise(drawn, d, prompts, config, run_seed, manner) for drawn, d in open_draws
        ]
        answers = ask(questions, language_model, llm, run_seed, ledger)
        lists = [i for i, exchanges in enumerate(answers) if _wants_merging(exchanges, wording)]
        merges = [
            _merge(manner.spell(answers[i][-1].text), *open_draws[i], prompts, config)
            for i in lists
        ]  # fmt: skip
        for i, exchanges in zip(
            lists, ask(merges, language_model, llm, run_seed, ledger), strict=True
        ):
            answers[i] += exchanges
        for (drawn, d), exchanges in zip(open_draws, answers, strict=True):
            drawn.take(d, exchanges)
    return [
        Concepts(drawn.phrases.neuron, tuple(drawn.candidates), tuple(drawn.rejects),
                 tuple(drawn.exchanges))
        for drawn in draws
    ]  # fmt: skip


def _wants_merging(exchanges: Sequence[Exchange], wording: Wording) -> bool:
    return not exchanges[-1].problem and wording.is_list(exchanges[-1].text)


def _summarise(
    drawn: _Draws,
    draw: int,
    prompts: Prompts,
    config: ConceptsConfig,
    run_seed: int,
    manner: _Manner,
) -> Question:
    order = manner.order(drawn.phrases.texts, run_seed, drawn.about, draw)
    how = drawn.asking
    messages = prompts.messages(how.prompt, phrases=drawn.wording.join(order), **how.variables)
    return Question(how.prompt, messages, drawn.about, draw, config.max_words)


def _merge(
    label: str, drawn: _Draws, draw: int, prompts: Prompts, config: ConceptsConfig
) -> Question:
    messages = prompts.messages("merge", label=label)
    return Question("merge", messages, drawn.about, draw, config.max_words)
