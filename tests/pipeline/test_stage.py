"""Items and how they are grouped: names that are files, batches that never cross a layer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dnd_local.core.records import Neuron
from dnd_local.pipeline.stage import Item, by_chunk, groups_of


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
    batches = list(groups_of(size)(items))
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
    batches = list(by_chunk(items))
    assert sorted(item.name for batch in batches for item in batch) == sorted(
        item.name for item in items
    )
    assert len(batches) == len({item.index for item in items})
    assert all(len({item.index for item in batch}) == 1 for batch in batches)
