"""Human ratings of the four scoring rules, from the release's rating file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dnd_local.core.cards import Card
from dnd_local.core.errors import UserError
from dnd_local.evaluate.intervals import Interval, PairedTest, bootstrap_mean, paired_test
from dnd_local.evaluate.tables import read_text
from dnd_local.store.outputs import Cell

PUBLISHED_RATINGS: Final = {
    "image-products": 3.03,
    "topk-compare": 2.85,
    "topk-sq-mean": 2.62,
    "mean": 2.61,
}
_RATING_COLUMNS: Final = {
    "image-products": "Image-Products",
    "topk-compare": "Topk-Compare",
    "topk-sq-mean": "Topk-Sq",
    "mean": "Mean Caption",
}


@dataclass(frozen=True, slots=True)
class RuleRating(Card):
    """What people made of one scoring rule's labels, 1 to 5, mean over raters and units.

    `against_chosen` compares it with the rule that the release uses (topk-compare), unit by
    unit; None for that rule itself.
    """

    rule: str
    rating: Interval
    against_chosen: PairedTest | None
    published: float | None

    def record(self) -> dict[str, Cell]:
        """Return the figure as one flat record."""
        test = self.against_chosen
        return {
            "rule": self.rule,
            "units": self.rating.n,
            "value": self.rating.value,
            "low": self.rating.low,
            "high": self.rating.high,
            "published": self.published,
            "minus_topk_compare": test.difference.value if test else None,
            "p_value": test.p_value if test else None,
        }


@dataclass(frozen=True, slots=True)
class Ratings(Card):
    """All rules, the mean of a rule drawn at random (the null) and how far raters agree."""

    rules: tuple[RuleRating, ...]
    random_rule: float
    rater_agreement: float


def scoring_rules(path: Path, seed: int = 0) -> Ratings:
    """Return the human ratings of the four scoring rules from the release's rating file.

    Raises:
        UserError: the file has not its columns, or a rating is not 1 to 5.
    """
    text, _ = read_text(path)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise UserError(f"{path} is no rating file of the release: {error}") from None
    by_rater = {rule: _ratings(path, rows, column) for rule, column in _RATING_COLUMNS.items()}
    by_unit = {rule: values.mean(axis=0) for rule, values in by_rater.items()}
    official = len(rows) == 200
    chosen = by_unit["topk-compare"]
    rules = tuple(
        RuleRating(
            rule,
            bootstrap_mean(values, seed),
            None if rule == "topk-compare" else paired_test(values, chosen, seed),
            PUBLISHED_RATINGS[rule] if official else None,
        )
        for rule, values in by_unit.items()
    )
    raters = np.concatenate(list(by_rater.values()), axis=1)
    agreement_of_raters = _rank_correlation(raters)
    return Ratings(rules, float(np.mean(list(by_unit.values()))), agreement_of_raters)


def _ratings(path: Path, rows: Sequence[Mapping[str, str]], rule: str) -> NDArray[np.float64]:
    """Return the ratings of both raters, shape (2, n_units)."""
    columns = [f"{rule} {rater} Rating" for rater in ("E1", "E2")]
    missing = [column for column in columns if not rows or column not in rows[0]]
    if missing:
        raise UserError(f"{path} is no rating file of the release: no column '{missing[0]}'")
    values = []
    for column in columns:
        for line, row in enumerate(rows, start=2):
            if row[column] not in ("1", "2", "3", "4", "5"):
                raise UserError(f"{path}, line {line}: '{column}' is '{row[column]}', not 1 to 5")
        values.append([float(row[column]) for row in rows])
    return np.array(values)


def _rank_correlation(raters: NDArray[np.float64]) -> float:
    """Return the mean Spearman correlation of every two raters."""
    pairs = combinations(raters, 2)
    return float(np.mean([stats.spearmanr(one, other).statistic for one, other in pairs]))
