"""What a pack says of itself: where its models come from, and a card for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from dnd_local.core.config import Config
from dnd_local.core.factory_names import own_name
from dnd_local.core.harmless import markdown
from dnd_local.pipeline import opening
from dnd_local.pipeline.lab import Lab

_CARD = """# Descriptions of {target}: {layers}

Labels of {labelled} of {neurons} neurons, made by dnd-local {version} (Describe-and-Dissect:
captions of the images that excite a neuron most, a language model's guesses at what they share,
pictures of each guess, and the neuron's own choice). Settings, ledger, keys and models are in
`pack.json`.

| neurons | count |
|---|---|
{counts}

{verdicts}

| role | model | licence |
|---|---|---|
{models}

Every table is there as CSV, JSON lines and Parquet with the same columns (schema {schema}):
`labels` (a line a neuron), `candidates` (every candidate with its score under each rule),
`verdicts` (the figures behind each verdict) where labels were judged. In CSV a text that a
spreadsheet would run has an apostrophe before it.

To hold other labels against these: `dnd-local compare RUN FOLDER`, FOLDER being this one.

Labels are guesses of models, about what a neuron fires for on the images they were made from.
"""

_JUDGED = (
    "Of a *supported* label other images and fresh pictures say that it predicts its neuron better "
    "than labels of other neurons do; a *weak* one does so by some measures; an *abstained* one "
    "does not, so do not rely on it."
)
_UNJUDGED = "These labels were not judged: nothing is known of how well they predict their neurons."


def sources(lab: Lab) -> dict[str, list[dict[str, Any]]]:
    """Return for each role the models behind it: id, source, licence and the files' SHA-256."""
    return {
        role: [
            {
                "id": entry.id,
                "source": msgspec.to_builtins(entry.source),
                "licence": entry.licence.spdx,
                "files": {file.path: file.sha256 for file in entry.files},
            }
            for entry in map(lab.weights.manifest.entry, names)
        ]
        for role, names in opening.model_ids(lab.config).items()
    }


def card(pack: Mapping[str, Any]) -> str:
    """Return the text of a pack's ``README.md``, of what its ``pack.json`` says."""
    models = [
        f"| {role} | {markdown(entry['id'])} | {markdown(entry['licence'] or 'not known')} |"
        for role, entries in pack["provenance"]["models"].items()
        for entry in entries
    ]
    judged = any(name.startswith("verdict ") for name in pack["counts"])
    return _CARD.format(
        target=markdown(pack["target"]),
        layers=markdown(", ".join(pack["layers"])),
        labelled=pack["counts"].get("described", 0),
        neurons=pack["counts"]["neurons"],
        version=pack["provenance"]["dnd_local"],
        counts="\n".join(f"| {name} | {count} |" for name, count in pack["counts"].items()),
        verdicts=_JUDGED if judged else _UNJUDGED,
        models="\n".join(models) or "| all | not of the manifest | not known |",
        schema=pack["schema"],
    )


def public_settings(config: Config) -> dict[str, Any]:
    """Return settings without the paths of the machine they were used on."""
    settings: dict[str, Any] = msgspec.to_builtins(config)
    for name in ("name", "latents"):
        settings["network"][name] = own_name(settings["network"][name])
    settings["probe"]["sets"] = [Path(name).name for name in config.probe.sets]
    settings["llm"]["root"] = ""
    for section in ("captions", "llm", "pictures", "clip"):
        for name, value in settings[section].items():
            settings[section][name] = own_name(value) if isinstance(value, str) else value
    return settings
