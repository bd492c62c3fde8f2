"""What every engine of a protocol must do; one class a protocol, subclassed by each engine's test.

The engines under test run on the CPU in fp32 at a padded batch shape of 3: so a call with 1, 3
and 7 inputs takes one group with padding, one without, and three.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from dnd_local.core.conversations import Message, Request
from dnd_local.core.protocols import Captioner, Embedder, LanguageModel, Painter, Target
from dnd_local.core.records import Pixels

SHAPE = 3


def in_any_company(call: Callable[[list[Any]], Sequence[Any]], inputs: Sequence[Any]) -> None:
    """Check that a result depends on its input only: byte for byte, in any order and company."""
    assert len(inputs) == 7
    whole = [to_bytes(result) for result in call(list(inputs))]
    assert len(whole) == 7
    assert len(set(whole)) > 1, "all alike: this would prove nothing"
    for order in ([0], [6], [4, 1, 0], [6, 5, 4, 3, 2, 1, 0], [2, 2, 5, 2]):
        found = [to_bytes(result) for result in call([inputs[i] for i in order])]
        assert found == [whole[i] for i in order], f"order {order}"
    assert list(call([])) == []


def to_bytes(result: Any) -> bytes:
    """Return a result's exact bytes, with dtype and shape."""
    if isinstance(result, np.ndarray):
        return f"{result.dtype} {result.shape} ".encode() + result.tobytes()
    return repr(result).encode()


class TargetContract:
    """Every `Target`; subclasses give `target` and two of its layers, the first with a map."""

    layers: tuple[str, str]

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls) -> Target:
        raise NotImplementedError

    def test_is_a_target(self, target: Target) -> None:
        assert isinstance(target, Target)

    @pytest.mark.parametrize("which", [0, 1])
    def test_responses_depend_on_the_picture_only(
        self, target: Target, pictures: list[Pixels], which: int
    ) -> None:
        layer = self.layers[which]
        in_any_company(lambda some: list(target.responses(some, [layer])[layer]), pictures)

    def test_layers_asked_for_together_change_nothing(
        self, target: Target, pictures: list[Pixels]
    ) -> None:
        both = target.responses(pictures, self.layers)
        for layer in self.layers:
            alone = target.responses(pictures, [layer])
            assert to_bytes(alone[layer]) == to_bytes(both[layer])

    def test_maps_depend_on_the_picture_only(self, target: Target, pictures: list[Pixels]) -> None:
        layer = self.layers[0]

        def maps(some: list[Pixels]) -> list[Any]:
            found = target.maps(some, layer, [[1, 0]] * len(some))
            return [np.stack([one.values for one in own]) for own in found]

        in_any_company(maps, pictures)

    def test_maps_are_of_the_neurons_asked_for(
        self, target: Target, pictures: list[Pixels]
    ) -> None:
        first, second, third = target.maps(pictures[:3], self.layers[0], [[0, 2], [], [2]])
        assert (len(first), len(second), len(third)) == (2, 0, 1)
        alone = target.maps(pictures[:1], self.layers[0], [[2]])[0][0]
        assert to_bytes(first[1].values) == to_bytes(alone.values)

    def test_maps_are_empty_where_there_are_none(
        self, target: Target, pictures: list[Pixels]
    ) -> None:
        assert target.maps(pictures[:2], self.layers[1], [[0], [1]]) == [[], []]

    def test_shapes(self, target: Target, pictures: list[Pixels]) -> None:
        known = {info.path: info for info in target.layers()}
        found = target.responses(pictures, self.layers)
        empty = target.responses([], self.layers)
        for layer in self.layers:
            assert found[layer].shape == (7, known[layer].neurons)
            assert found[layer].dtype == np.float32
            assert empty[layer].shape == (0, known[layer].neurons)
        assert [known[layer].spatial for layer in self.layers] == [True, False]


class CaptionerContract:
    """Every `Captioner`; subclasses give `captioner`."""

    @pytest.fixture(scope="class")
    @classmethod
    def captioner(cls) -> Captioner:
        raise NotImplementedError

    def test_captions_depend_on_the_picture_only(
        self, captioner: Captioner, pictures: list[Pixels]
    ) -> None:
        assert isinstance(captioner, Captioner)
        in_any_company(captioner.caption, pictures)

    def test_captions_are_bare_text(self, captioner: Captioner, pictures: list[Pixels]) -> None:
        for caption in captioner.caption(pictures):
            assert caption == caption.strip() != ""
            assert not set("[]<>") & set(caption)


class PainterContract:
    """Every `Painter`; subclasses give `painter` and the side of its pictures."""

    side: int

    @pytest.fixture(scope="class")
    @classmethod
    def painter(cls) -> Painter:
        raise NotImplementedError

    def test_pictures_depend_on_prompt_and_seed_only(self, painter: Painter) -> None:
        assert isinstance(painter, Painter)
        asked = [(prompt, seed) for prompt in ("a dog", "red", "sky") for seed in (1, 2)]
        in_any_company(
            lambda some: painter.paint([p for p, _ in some], [s for _, s in some]),
            [*asked, ("a dog", 3)],
        )

    def test_pictures_differ_by_prompt_and_by_seed(self, painter: Painter) -> None:
        found = painter.paint(["a dog", "red", "a dog"], [1, 1, 2])
        assert len({to_bytes(picture) for picture in found}) == 3

    def test_shapes(self, painter: Painter) -> None:
        (picture,) = painter.paint(["a dog"], [5])
        assert picture.shape == (self.side, self.side, 3)
        assert picture.dtype == np.uint8


class TextsContract:
    """Everything with `embed_texts`; subclasses give `embedder`."""

    @pytest.fixture(scope="class")
    @classmethod
    def embedder(cls) -> Any:
        raise NotImplementedError

    def test_texts_depend_on_the_text_only(self, embedder: Any) -> None:
        texts = ["dog", "a red dog", "cat", "the sky on a tree", "big", "car " * 20, "small dog"]
        in_any_company(lambda some: list(embedder.embed_texts(some)), texts)

    def test_vectors_are_of_unit_length(self, embedder: Any) -> None:
        vectors = embedder.embed_texts(["dog", "a red cat"])
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
        assert embedder.embed_texts([]).shape == (0, vectors.shape[1])


class EmbedderContract(TextsContract):
    """Every `Embedder`; subclasses give `embedder`."""

    def test_vectors_depend_on_the_picture_only(
        self, embedder: Embedder, pictures: list[Pixels]
    ) -> None:
        assert isinstance(embedder, Embedder)
        in_any_company(lambda some: list(embedder.embed_pictures(some)), pictures)

    def test_pictures_and_texts_share_their_space(
        self, embedder: Embedder, pictures: list[Pixels]
    ) -> None:
        seen, said = embedder.embed_pictures(pictures), embedder.embed_texts(["dog"])
        assert seen.shape == (7, said.shape[1])
        assert seen.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1, atol=1e-6)
        assert embedder.embed_pictures([]).shape == (0, said.shape[1])


def request(text: str, *, temperature: float = 0.0, seed: int = 0, max_tokens: int = 12) -> Request:
    return Request((Message("user", text),), temperature, seed, max_tokens)


class LanguageModelContract:
    """Every `LanguageModel`; subclasses give `language_model`."""

    @pytest.fixture(scope="class")
    @classmethod
    def language_model(cls) -> LanguageModel:
        raise NotImplementedError

    @pytest.mark.parametrize("temperature", [0.0, 1.0])
    def test_replies_depend_on_the_request_only(
        self, language_model: LanguageModel, temperature: float
    ) -> None:
        assert isinstance(language_model, LanguageModel)
        texts = ["dog", "red dog", "a cat", "the sky on a tree " * 20, "big", "car " * 70, "house"]
        asked = [request(text, temperature=temperature, seed=i) for i, text in enumerate(texts)]
        in_any_company(language_model.reply, asked)

    def test_a_seed_counts_only_above_temperature_0(self, language_model: LanguageModel) -> None:
        def texts(temperature: float) -> set[str]:
            asked = [request("a dog", temperature=temperature, seed=s) for s in range(8)]
            return {reply.text for reply in language_model.reply(asked)}

        assert len(texts(0.0)) == 1
        assert len(texts(1.0)) > 1

    def test_replies_are_one_line_and_end_for_a_reason(self, language_model: LanguageModel) -> None:
        asked = [request("a dog", temperature=1.5, seed=s, max_tokens=6) for s in range(20)]
        replies = language_model.reply(asked)
        assert {reply.finish for reply in replies} <= {"stop", "length"}
        assert not any("\n" in reply.text for reply in replies)
