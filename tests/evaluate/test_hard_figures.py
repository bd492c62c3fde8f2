"""The figures of the hard bench, on answers whose figures can be counted by hand."""

from __future__ import annotations

import pytest
from scipy import stats

from dnd_local.evaluate.hard_figures import (
    Answer,
    describer_records,
    hard_figures,
    kind_records,
)
from dnd_local.evaluate.intervals import share
from dnd_local.evaluate.verdict_quality import auc_figure, covered, reliability, risk_coverage
from dnd_local.evaluate.verdicts import Ruling, Verdict


def answer(kind: str, outcome: str, ruling: Ruling = "weak", support: float = 0.5) -> Answer:
    verdict = Verdict("developing", 0, "dog", ruling, support, ())
    return Answer("ours", 0, kind, "dog", outcome, 0.0, verdict)


ANSWERS = [
    answer("single", "right", "supported", 0.9), answer("single", "right", "supported", 0.8),
    answer("single", "wrong", "no better than the null", 0.2),
    answer("conjunction", "partly", "weak", 0.6),
    answer("noise", "wrong", "supported", 0.85), answer("noise", "wrong", "weak", 0.3),
    answer("random network", "partly"), answer("random network", "wrong", "supported"),
    Answer("constant word", 0, "single", "object", "wrong", 0.0),
]  # fmt: skip


def test_figures_are_shares_of_their_kind() -> None:
    figures = {name: own.value for name, own in hard_figures(ANSWERS).items()}
    assert figures["ours.all.right"] == 0.5
    assert figures["ours.single.right"] == pytest.approx(2 / 3)
    assert figures["ours.conjunction.partly"] == 1.0
    assert figures["ours.random network.partly"] == 0.5
    assert "ours.noise.right" not in figures
    assert figures["constant word.all.wrong"] == 1.0
    assert figures["ours.supported.fakes"] == figures["ours.supported.noise"] == 0.5
    assert figures["ours.supported.right single"] == 1.0
    assert figures["ours.supported.wrong"] == 0.0
    assert figures["ours.abstained.wrong"] == 1.0
    assert figures["ours.supported.random, wrong"] == 1.0
    # Right .9 and .8 against wrong .2, .85, .3 and .5: seven of eight pairs.
    assert figures["ours.support.auc, right over wrong"] == pytest.approx(7 / 8)
    assert figures["ours.risk.at coverage 0.25"] == 0.5


def test_a_line_a_describer_sums_it_up() -> None:
    ours, word = describer_records(hard_figures(ANSWERS))
    assert ours["describer"] == "ours"
    assert str(ours["right"]).startswith("0.500 (")
    assert str(ours["fakes supported"]).startswith("0.500 (")
    assert word == {
        "describer": "constant word", "right": "0.000 (0.000 to 0.975)",
        "partly": "0.000 (0.000 to 0.975)", "fakes supported": "", "right single supported": "",
        "AUC of support": "", "not right in the best half": "",
    }  # fmt: skip


def test_kinds_are_counted_by_outcome_and_by_verdict() -> None:
    records = {(own["describer"], own["kind"]): own for own in kind_records(ANSWERS)}
    assert records["ours", "single"] == {
        "describer": "ours", "kind": "single", "neurons": 3, "right": 2, "partly": 0, "wrong": 1,
        "none": 0, "supported": 2, "weak": 0, "abstained": 1,
    }  # fmt: skip
    assert records["constant word", "single"]["supported"] == 0


def test_without_verdicts_there_are_only_outcomes() -> None:
    assert set(hard_figures(ANSWERS[-1:])) == {
        f"constant word.{group}.{outcome}"
        for group, outcome in (
            ("all", "right"), ("all", "partly"), ("all", "wrong"),
            ("single", "right"), ("single", "partly"),
        )
    }  # fmt: skip


def test_none_of_many_still_has_an_upper_end() -> None:
    own = share([False] * 300)
    assert own.value == own.low == 0.0
    assert own.high == pytest.approx(stats.beta.ppf(0.975, 1, 300))


def test_auc_counts_pairs_and_ties_by_half() -> None:
    own = auc_figure([0.5, 0.9], [0.5, 0.1])
    assert own.value == 0.875
    assert own.low <= own.value <= own.high


def test_the_best_supported_are_kept_first() -> None:
    assert covered([0.1, 0.9, 0.5], ["a", "b", "c"], 2 / 3) == ["b", "c"]
    assert risk_coverage([0.1, 0.9, 0.5], [False, True, False]) == [
        (pytest.approx(1 / 3), 0.0), (pytest.approx(2 / 3), 0.5), (1.0, pytest.approx(2 / 3)),
    ]  # fmt: skip


def test_reliability_is_counted_by_bins_and_the_last_edge_is_in() -> None:
    rows = reliability([0.1, 0.4, 0.6, 1.0], [False, True, True, True], [0, 0.5, 0.9, 1.0])
    assert rows == [(0.25, 0.5, 2), (0.6, 1.0, 1), (1.0, 1.0, 1)]
