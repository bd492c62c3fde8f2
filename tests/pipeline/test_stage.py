"""Items and how they are grouped: names that are files, batches that never cross a layer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dnd_local.core.config import Config, PicturesConfig
from dnd_local.core.records import Neuron
from dnd_local.pipeline.stage import Item, by_chunk, by_painted_batch, groups_of


def test_items_are_named_for_what_they_are() -> None:
    assert Item.of_chunk("a.b", 7) == Item("a.b-00007", "a.b", 7)
    assert Item.of_layer("a.b") == Item("a.b", "a.b")
    assert Item.of_neuron(Neuron("net", "a.b", 12)) == Item("a.b-00012", "a.b", 12)
    assert Item.of_neuron(Neuron("net", "a.b", 12), round=2).name == "a.b-00012.2"
    red = Item.of_block("red squares", 4, 2)
    assert red == Item.of_block("red squares", 4, 2) != Item.of_block("red square", 4, 2)
    assert red.name.endswith("-004-2")
    assert (red.text, red.index, red.count) == ("red squares", 4, 2)


ITEMS = st.lists(
    st.builds(Item.of_chunk, st.sampled_from(["a", "b", "c"]), st.integers(0, 9)), unique=True
)


@given(ITEMS, st.integers(1, 5))
def test_groups_hold_every_item_once_and_one_layer_each(items: list[Item], size: int) -> None:
    batches = list(groups_of(size)(Config(), items))
    assert sorted(item.name for batch in batches for item in batch) == sorted(
        item.name for item in items
    )
    assert all(len({item.layer for item in batch}) == 1 for batch in batches)
    assert all(1 <= len(batch) <= size for batch in batches)
    for layer in {item.layer for item in items}:
        own = [item for batch in batches for item in batch if item.layer == layer]
        assert own == [item for item in items if item.layer == layer]


@given(ITEMS)
def test_chunks_of_the_same_images_go_together(items: list[Item]) -> None:
    batches = list(by_chunk(Config(), items))
    assert sorted(item.name for batch in batches for item in batch) == sorted(
        item.name for item in items
    )
    assert len(batches) == len({item.index for item in items})
    assert all(len({item.index for item in batch}) == 1 for batch in batches)


@given(st.lists(st.integers(1, 3), max_size=60), st.integers(1, 9))
def test_groups_of_pictures_fill_the_painters_batches(counts: list[int], batch: int) -> None:
    items = [Item.of_block(f"concept {i}", 0, count) for i, count in enumerate(counts)]
    config = Config(pictures=PicturesConfig(batch=batch))
    groups = [list(group) for group in by_painted_batch(config, items)]
    assert [item for group in groups for item in group] == items
    for group in groups[:-1]:
        pictures = sum(item.count for item in group)
        assert pictures % batch == 0 or 4 * batch <= pictures <= 4 * batch + 2


def test_blocks_of_two_pad_no_batch_but_the_last() -> None:
    items = [Item.of_block(f"concept {i}", first, 2) for i in range(7) for first in (0, 2, 4, 6, 8)]
    sizes = [
        [2 * len(group) for group in by_painted_batch(config, items)]
        for config in (Config(pictures=PicturesConfig(batch=batch)) for batch in (10, 24, 15))
    ]
    assert sizes == [[10] * 7, [24, 24, 22], [30, 30, 10]]
