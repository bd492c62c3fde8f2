"""What an ablation found, in plain words."""

from __future__ import annotations

from dnd_local.evaluate.ablation import Ablation, ClassChange


def sentences(ablation: Ablation) -> tuple[str, ...]:
    """Return what was found in plain words, a sentence a line."""
    matched = ablation.matched
    many = f"the {len(matched.neurons)} of {ablation.neurons} neurons"
    doing = "Keeping only" if ablation.keep else "Zeroing"
    by = " (a random forest trained anew each time)" if ablation.classifier == "forest" else ""
    whole = ablation.changes[-1]
    lines = [
        f"{doing} {many} of {matched.layer} whose label matches '{matched.pattern}' takes right "
        f"answers from {whole.before.value:.1%} to {whole.after.value:.1%} of "
        f"{whole.before.n} pictures{by}; {_against(whole, ablation.keep)}."
    ]
    beyond = [one for one in ablation.changes[:-1] if one.beyond]
    verb = "keeps" if ablation.keep else "loses"
    lines += [
        f"{one.name} {verb} beyond the controls: {one.before.value:.1%} to "
        f"{one.after.value:.1%} ({one.change.value:+.1%}, 95 % interval {one.change.low:+.1%} "
        f"to {one.change.high:+.1%}); {_against(one, ablation.keep)}."
        for one in beyond
    ]
    rest = len(ablation.changes) - 1 - len(beyond)
    if rest:
        some = "Of the other" if beyond else "Of the"
        lines.append(f"{some} {rest} classes none {verb} beyond the controls.")
    return tuple(lines)


def _against(one: ClassChange, keep: bool) -> str:
    words = "best" if keep else "worst"
    return "; ".join(
        f"{control.sets} random sets of the {control.kind} change {control.mean:+.1%} on average "
        f"({words} {control.extreme:+.1%}), {control.as_far or 'none'} of them as much"
        for control in one.controls
    )
