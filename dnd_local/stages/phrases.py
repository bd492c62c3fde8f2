"""Stage 2b: each caption cut down to a short phrase without its incidental detail."""

from __future__ import annotations

from collections.abc import Sequence

from dnd_local.core.config import LlmConfig
from dnd_local.core.ledger import OURS, Ledger
from dnd_local.core.protocols import LanguageModel, Prompts
from dnd_local.core.records import Captions, Phrases
from dnd_local.core.sequences import distinct
from dnd_local.stages.asking import Question, ask


def simplify(
    batch: Sequence[Captions],
    language_model: LanguageModel,
    prompts: Prompts,
    llm: LlmConfig,
    run_seed: int,
    ledger: Ledger = OURS,
) -> list[Phrases]:
    """Return one phrase a caption.

    The seed depends on the caption alone, so a caption that many neurons share is asked about
    once. Where no usable phrase comes back the caption itself stands in, and the exchange says so.
    """
    questions = {
        text: Question("simplify", prompts.messages("simplify", caption=text), (text,))
        for captions in batch
        for text in captions.texts
    }
    answers = ask(list(questions.values()), language_model, llm, run_seed, ledger)
    exchanges = dict(zip(questions, answers, strict=True))
    return [
        Phrases(
            captions.neuron,
            tuple(
                exchanges[text][-1].text if not exchanges[text][-1].problem else text
                for text in captions.texts
            ),
            tuple(one for text in distinct(captions.texts) for one in exchanges[text]),
        )
        for captions in batch
    ]
