"""Training examples for the pocket LLM: captions to cut, lists to name, labels to merge."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from dnd_local.pocket.captions import full_caption, ground, label, short_phrase
from dnd_local.pocket.words import category_of, vocabulary
from dnd_local.pocket.world import Attributes

MOST = 0.6
"""The share of lines that counts as most of them."""
EVEN = 0.7
"""The share from which the first of two unlike objects is named alone."""
FIRM = 0.8
"""The share from which an object is named whatever else of its category the list has."""

_ELSEWHERE = json.loads(Path(__file__).with_name("elsewhere.json").read_text(encoding="utf-8"))
NOUNS, ADJECTIVES, DOING, WHERE, EXTRA = (
    tuple(_ELSEWHERE[kind]) for kind in ("nouns", "adjectives", "doing", "where", "extra")
)
"""Words that the world does not have, so that a list from elsewhere gets a sane reply too."""


@dataclass(frozen=True, slots=True)
class Example:
    """One exchange to learn.

    Attributes:
        task: The prompt file's name, ``simplify``, ``summarise`` or ``merge``.
        given: What takes the place of the prompt's variable.
        reply: What to answer.
    """

    task: str
    given: str
    reply: str


def shown(
    rng: random.Random,
    objects: tuple[str, ...] | None = None,
    colour: str | None = None,
    pattern: str | None = None,
) -> Attributes:
    """Return the attributes of an imagined picture; what is not given is chosen."""
    words = vocabulary()
    if objects is None:
        count = rng.choices((0, 1, 2), (0.15, 0.7, 0.15))[0]
        objects = tuple(rng.sample([thing.name for thing in words.objects], count))
    return Attributes(
        objects,
        ((0, 0, 1, 1),) * len(objects),
        colour or rng.choice(words.colours).name,
        pattern or rng.choice(words.patterns).name,
    )


def accompanied(name: str, rng: random.Random) -> tuple[str, ...]:
    """Return an object, sometimes with another beside it."""
    if rng.random() > 0.15:
        return (name,)
    others = [thing.name for thing in vocabulary().objects if thing.name != name]
    pair = [name, rng.choice(others)]
    rng.shuffle(pair)
    return tuple(pair)


def family(name: str) -> str:
    """Return the word for several things of a category."""
    entry = next(entry for entry in vocabulary().categories if entry.name == name)
    return entry.plural if entry.phrase != entry.name else entry.name


def shared_label(lines: list[Attributes]) -> str:
    """Name what most pictures share: the rule that the LLM has to learn.

    An object that most lines show wins, unless its category covers two lines more; then two
    objects of different kinds with about half each, then a category, a colour, a pattern, or the
    last two together; at equal standing the larger share wins, and where nothing is shared by
    most the most frequent thing is named.
    """
    count = len(lines)
    objects = Counter(name for line in lines for name in line.objects)
    families = Counter(name for line in lines for name in line.categories())
    colour, colours = Counter(line.colour for line in lines).most_common(1)[0]
    pattern, patterns = Counter(line.pattern for line in lines).most_common(1)[0]
    scored: list[tuple[float, int, str]] = []
    if objects:
        first, most = objects.most_common(1)[0]
        kind, kinds = families.most_common(1)[0]
        others = kind == category_of(first) and kinds - most >= 2 and most < FIRM * count
        if most >= MOST * count and not others:
            scored.append((most, 4, first))
        if (most < MOST * count or others) and kinds >= MOST * count:
            scored.append((kinds, 3, family(kind)))
        scored += halves(objects, lines)
    if min(colours, patterns) >= 0.75 * count:
        scored.append((max(colours, patterns), 3, ground(colour, pattern)))
    if colours >= MOST * count:
        scored.append((colours, 2, f"{colour} background"))
    if patterns >= MOST * count:
        scored.append((patterns, 1, f"{pattern} background"))
    if scored:
        return max(scored)[2]
    fallback = [(colours, f"{colour} background"), (patterns, f"{pattern} background")]
    if objects:
        fallback.append((objects.most_common(1)[0][1] + 1, objects.most_common(1)[0][0]))
    return max(fallback)[1]


def halves(objects: Counter[str], lines: list[Attributes]) -> list[tuple[float, int, str]]:
    """Return the label of two objects of different categories that have about half each."""
    if len(objects) < 2:
        return []
    (one, first), (two, second) = objects.most_common(2)
    covered = sum(one in line.objects or two in line.objects for line in lines)
    unlike = category_of(one) != category_of(two)
    if unlike and second >= 0.35 * len(lines) and covered >= 0.8 * len(lines):
        return [(covered, 5 if first < EVEN * len(lines) else 0, f"{one} and {two}")]
    return []


def concept_lines(rng: random.Random, kind: str, count: int, share: float) -> list[Attributes]:
    """Imagine pictures of which a share have one concept of a kind in common.

    Args:
        rng: Chooses everything.
        kind: ``object``, ``category``, ``colour``, ``pattern``, ``ground`` or ``two``.
        count: How many pictures.
        share: How many of them show the concept; the others are anything.
    """
    words = vocabulary()
    names = [thing.name for thing in words.objects]
    chosen = rng.sample(names, 2)
    category = rng.choice(words.categories).name
    group = [thing.name for thing in words.objects if thing.category == category]
    colour, pattern = rng.choice(words.colours).name, rng.choice(words.patterns).name
    split = round(share * count * rng.choice((0.4, 0.5, 0.6)))
    lines = []
    for place in range(count):
        if place >= round(share * count):
            lines.append(shown(rng))
        elif kind == "object":
            lines.append(shown(rng, accompanied(chosen[0], rng)))
        elif kind == "two":
            lines.append(shown(rng, accompanied(chosen[place < split], rng)))
        elif kind == "category":
            lines.append(shown(rng, accompanied(group[rng.randrange(len(group))], rng)))
        else:
            lines.append(
                shown(
                    rng,
                    colour=colour if kind in ("colour", "ground") else None,
                    pattern=pattern if kind in ("pattern", "ground") else None,
                )
            )
    rng.shuffle(lines)
    return lines


def line(picture: Attributes, rng: random.Random) -> str:
    """Write a picture as one line of a list: a short phrase, now and then less or more tidy."""
    lot = rng.random()
    if lot < 0.8:
        return short_phrase(picture)
    if lot < 0.88:
        return full_caption(picture, rng)
    if lot < 0.94:
        where = f"{picture.colour} background" if rng.random() < 0.5 else picture.pattern
        return ", ".join((*picture.objects, where))
    return f"{' and '.join(picture.objects) or 'background'}, {picture.pattern} {picture.colour}"


def elsewhere(rng: random.Random) -> Example:
    """Return a list in words from outside the world: a shared noun or a shared adjective."""
    count = rng.randint(4, 10)
    noun, adjective = rng.choice(NOUNS), rng.choice(ADJECTIVES)
    by_noun = rng.random() < 0.6
    lines = []
    for place in range(count):
        first, other = rng.choice(NOUNS), rng.choice(NOUNS)
        quality = f"{rng.choice(ADJECTIVES)} " if rng.random() < 0.6 else ""
        if place < rng.uniform(0.6, 1.0) * count:
            first = noun if by_noun else first
            quality = quality if by_noun else f"{adjective} "
        parts = [f"{quality}{first}", other]
        if rng.random() < 0.2:
            parts.reverse()
        lines.append(", ".join(parts))
    rng.shuffle(lines)
    return Example("summarise", "\n".join(lines), noun if by_noun else f"{adjective} objects")


def summarise(rng: random.Random) -> Example:
    """Return a list of lines and the label that most of them share."""
    if rng.random() < 0.12:
        return elsewhere(rng)
    kinds = ("object", "category", "colour", "pattern", "ground", "two")
    kind = rng.choices(kinds, (0.21, 0.21, 0.15, 0.15, 0.08, 0.2))[0]
    count = rng.choice((4, 5, 6, 7, 8, 9, 10, 10, 10, 10))
    lines = concept_lines(rng, kind, count, rng.choice((0.7, 0.8, 0.9, 1.0, 1.0)))
    return Example("summarise", "\n".join(line(each, rng) for each in lines), shared_label(lines))


def simplify(rng: random.Random) -> Example:
    """Return a caption and the phrase that is left when its filler is cut."""
    if rng.random() < 0.2:
        first, other = rng.sample(NOUNS, 2)
        one = f"{rng.choice(ADJECTIVES)} {first}" if rng.random() < 0.6 else first
        two = f"{rng.choice(ADJECTIVES)} {other}" if rng.random() < 0.5 else other
        start = rng.choice(("a", "there is a", "a picture of a", "a close up of a", "a photo of a"))
        caption = f"{start} {one} {rng.choice(DOING)} {rng.choice(WHERE)} a {two}"
        if rng.random() < 0.3:
            caption = f"{caption} {rng.choice(EXTRA)}"
        return Example("simplify", caption, f"{one}, {two}")
    picture = shown(rng)
    caption = full_caption(picture, rng)
    return Example("simplify", caption, short_phrase(picture))


def merge(rng: random.Random) -> Example:
    """Return several labels in one reply and the label that covers most of them."""
    words = vocabulary()
    names = [thing.name for thing in words.objects]
    mark = rng.choice((", ", ", ", "; "))
    lot = rng.random()
    if lot < 0.3:
        count = rng.randint(2, 5)
        lines = [shown(rng, (rng.choice(names),)) for _ in range(count)]
        if rng.random() < 0.6:
            category = rng.choice(words.categories).name
            group = [thing.name for thing in words.objects if thing.category == category]
            lines = [shown(rng, (name,)) for name in rng.sample(group, min(len(group), count))]
            return Example("merge", mark.join(line.objects[0] for line in lines), family(category))
        named = [line.objects[0] for line in lines]
        first = Counter(named).most_common(2)
        return Example("merge", mark.join(named), " and ".join(name for name, _ in first))
    if lot < 0.5:
        thing = rng.choice(words.objects)
        forms = rng.sample([thing.name, thing.plural, thing.phrase], 2)
        return Example("merge", mark.join(forms), thing.name)
    picture = shown(rng, (rng.choice(names),))
    if lot < 0.7:
        forms = [f"{picture.colour} background", f"{picture.pattern} background"]
        rng.shuffle(forms)
        return Example("merge", mark.join(forms), ground(picture.colour, picture.pattern))
    if lot < 0.85:
        said = rng.choice((f"{picture.colour} background", f"{picture.pattern} background"))
        return Example(
            "merge", mark.join((picture.objects[0], said)), f"{picture.objects[0]} on {said}"
        )
    one, two = rng.sample(NOUNS, 2)
    return Example("merge", mark.join((one, two)), f"{one} and {two}")


def example(rng: random.Random, task: str) -> Example:
    """Return one example of a task."""
    return {"simplify": simplify, "summarise": summarise, "merge": merge}[task](rng)


def corpus(count: int = 3000) -> list[str]:
    """Return texts of all tasks, for the tokenizer."""
    rng = random.Random(0)
    texts: list[str] = []
    for _ in range(count):
        for task in ("simplify", "summarise", "merge"):
            one = example(rng, task)
            texts += [one.given, one.reply]
        texts.append(label(shown(rng), rng))
    return texts + list(NOUNS + ADJECTIVES + DOING + WHERE + EXTRA) * 20
