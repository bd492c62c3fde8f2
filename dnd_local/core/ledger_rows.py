"""The rows of the ledger: each difference in words, how it was checked, what stays apart.

docs/method.md carries them as its table (`scripts/docs` writes it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dnd_local.core.cards import Card
from dnd_local.core.ledger import Ledger, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Card):
    """One difference.

    Attributes:
        number: its number; there is no row 7, which was no difference.
        released: what the released code does.
        ours: what is done here.
        choice: the field of `Ledger` that decides; two rows may share one.
        never: where there is no choice, in a word why the released side is never taken; "equal"
            where both sides are alike until a setting is given.
        checked: how the released side was checked.
        tests: the tests that do so, by function or file.
        apart: what stays different from the released code even on its side, and why.
    """

    number: int
    released: str
    ours: str
    choice: str = ""
    never: str = ""
    checked: str
    tests: tuple[str, ...]
    apart: str = ""

    def taken(self, ledger: Ledger) -> Side:
        """Return the side that a run under `ledger` takes."""
        side: Side = getattr(ledger, self.choice) if self.choice else "ours"
        return side


ROWS: Final[tuple[Row, ...]] = (
    Row(
        number=1,
        released="Maps become 8 bit by a factor of 255 and wrap, so values above 1 turn to noise",
        ours="Each map is scaled between its own lowest and highest value",
        choice="map_values",
        checked="130 of 130 golden boxes; 1,000 random maps against the steps in plain Python",
        tests=(
            "test_a_map_is_stretched_from_its_minimum_to_its_maximum",
            "test_the_released_cast_wraps",
            "test_the_released_boxes_agree_with_the_method_written_out_on_1000_maps",
        ),
        apart="NaN and infinity count as 0: their cast is undefined",
    ),
    Row(
        number=2,
        released="The centre crop's map is stretched over the whole picture, so boxes are off",
        ours="The map lies on the region that the network saw",
        choice="map_place",
        checked="By hand: a map of the left half, boxes on both sides",
        tests=(
            "test_framing.py",
            "test_the_map_of_a_part_is_stretched_over_the_whole",
        ),
    ),
    Row(
        number=3,
        released="A vision transformer's map is its folded CLS vector, the same for every neuron",
        ours="The neuron's own map over the patch tokens",
        never="meaningless",
        checked="Our side only",
        tests=("test_layers.py",),
        apart="The whole row: such boxes say nothing about a neuron",
    ),
    Row(
        number=4,
        released="Exemplars and crops are squashed to squares of 375 pixels",
        ours="Original pixels; a crop keeps its shape inside a margin",
        choice="crop_shape",
        checked="By hand: what the network is given on both sides",
        tests=(
            "test_the_networks_own_crop_cuts_nothing_off",
            "test_images_and_crops_are_squashed_and_not_padded",
        ),
    ),
    Row(
        number=5,
        released="Generated pictures are shrunk to 32 pixels before they are judged",
        ours="Full size, through the network's own transform",
        choice="picture_size",
        checked="By hand: stripes that vanish at 32 pixels",
        tests=(
            "test_each_picture_is_measured_as_if_alone",
            "test_stripes_are_gone_from_a_picture_of_32_pixels",
        ),
        apart="Exemplars are not shrunk; only generated pictures are",
    ),
    Row(
        number=6,
        released="The cosine counts only pictures among the ten highest of all, otherwise it is -1",
        ours="The cosine of a candidate's own highest pictures",
        choice="cosine_over",
        checked=(
            "299 of 299 golden lines, scores and order; 2,000 random inputs, half of them with ties"
        ),
        tests=(
            "test_all_four_scores_agree_with_the_method_written_out",
            "test_the_released_rule_agrees_with_the_method_written_out_on_1000_inputs",
        ),
        apart=(
            "Ties, which no golden line holds: equal responses share their average rank, "
            "and of equals at the border of the ten the first drawn counts"
        ),
    ),
    Row(
        number=8,
        released="One unseeded random generator, so a label depends on the neurons before it",
        ours="A seed for each picture and each draw: company and order change nothing",
        never="unrepeatable",
        checked="Our side only",
        tests=(
            "test_company_and_order_change_nothing",
            "test_pocket_runs.py",
        ),
        apart="The whole row: what cannot be had again cannot be compared",
    ),
    Row(
        number=9,
        released="Replies are cut at colons and commas, and labels of any length pass",
        ours="One line, five words at most; lists are merged, the rest asked again or rejected",
        choice="wording",
        checked=(
            "1,000 random replies and 1,000 random lists; the messages of a made-up "
            "release, run beside the stages"
        ),
        tests=(
            "test_a_list_is_merged_once_and_then_stands",
            "test_joined_texts_agree_with_the_method_written_out_on_1000_lists",
            "test_the_messages_are_the_releases_to_the_byte",
        ),
        apart=(
            "An empty reply, control characters and an endless thought are rejected; a "
            "finished thought is taken off"
        ),
    ),
    Row(
        number=10,
        released="Often one or two of five labels are distinct",
        ours="Drawn again until enough are distinct or four in a row repeat, within a bound",
        choice="top_up",
        checked="By hand: the number of questions on both sides",
        tests=(
            "test_repeats_are_made_up_for_until_there_are_enough",
            "test_four_repeats_in_a_row_end_it",
            "test_repeats_are_not_made_up_for",
        ),
    ),
    Row(
        number=11,
        released="Dead neurons tie on every image and get confident labels",
        ours="Dead, constant and duplicate neurons are found first and named as such",
        choice="triage",
        checked="By hand, and a whole run with a dead neuron",
        tests=(
            "test_what_is_not_alive_is_named_and_costs_nothing",
            "test_a_dead_neuron_gets_a_confident_label",
        ),
        apart="Which images a dead neuron gets: ours are the first of the probe set",
    ),
    Row(
        number=12,
        released="Some options are read and then ignored",
        ours="Every option does what it says",
        never="misleading",
        checked="Our side only: each setting changes the keys of its stages",
        tests=("test_lab.py",),
        apart="The whole row: it would mislead",
    ),
    Row(
        number=13,
        released="The captioner's checkpoint fits no layer, so another model's weights run",
        ours="That other model, by its own name",
        never="equivalent",
        checked="The manifest names the weights",
        tests=("test_manifest.py",),
        apart="Nothing: the same weights run",
    ),
    Row(
        number=14,
        released="Documents and code name different generators and language models",
        ours="Each model is named by its digest",
        never="contradictory",
        checked="The preset `released` takes the generator of the code",
        tests=("test_the_released_preset_is_the_paper_with_the_released_generator",),
        apart="The language model, which is local here",
    ),
    Row(
        number=15,
        released="Models are loaded again for every neuron, results are written at the end",
        ours="Each model is loaded once a stage, every part is kept as it is made",
        never="wasteful",
        checked="Our side only: loads are counted",
        tests=("test_one_load_a_stage_whatever_the_number_of_neurons",),
        apart="No result: only time and memory",
    ),
    Row(
        number=16,
        released="Names are run as code, checkpoints are pickles",
        ours="Names are looked up, weights are safetensors",
        never="unsafe",
        checked="Our side only",
        tests=(
            "test_target_loading.py",
            "test_trust.py",
        ),
        apart="The whole row: it would run what a name or a file says",
    ),
    Row(
        number=17,
        released="Maps and the squares of 375 and 32 pixels are resized by Pillow, bicubic",
        ours="Maps bilinear, by OpenCV; pictures are not resized but by the network's transform",
        choice="map_resize",
        checked=(
            "130 of 130 golden boxes (4 with the other resize); random grids to the last "
            "bit of the cubic in plain Python"
        ),
        tests=(
            "test_few_golden_lines_agree_with_another_resize",
            "test_the_released_resize_agrees_with_the_cubic_written_out",
        ),
    ),
    Row(
        number=18,
        released="A phrase is kept whole, of a label its second piece, with all its marks",
        ours="Quotation marks, bullets, thoughts and blanks are taken off",
        choice="wording",
        checked="1,000 of 1,000 golden lines; 1,000 random replies",
        tests=(
            "test_what_is_taken_and_what_is_taken_off",
            "test_candidates_agree_with_the_method_written_out_on_1000_replies",
        ),
        apart=(
            "Blanks around a reply, where the engine in this process takes them off as its "
            "tokenizer's"
        ),
    ),
    Row(
        number=19,
        released=(
            "The first draw has the phrases' order, later ones shuffle on; replies have no "
            "limit; a list is split and joined again before it is merged"
        ),
        ours="Each draw shuffles the phrases' order; 40 tokens a reply; a list goes as it came",
        choice="draws",
        checked="By hand, and the messages of a made-up release, run beside the stages",
        tests=(
            "test_each_released_draw_shuffles_what_the_last_one_had",
            "test_a_reply_has_no_limit_on_the_released_side_unless_the_user_sets_one",
            "test_a_list_to_be_merged_is_split_and_joined_with_two_blanks",
        ),
        apart="Seeds are ours (row 8); a reply cut at the end of the context is rejected",
    ),
    Row(
        number=20,
        released="A crop may be a few pixels wide",
        ours="The same, unless `--exemplars-min-side` gives a least side",
        never="equal",
        checked="By hand: boxes 2 and 12 pixels high, a least side of 3",
        tests=("test_a_box_has_a_least_side_and_is_held_against_what_was_seen",),
    ),
    Row(
        number=21,
        released="Of what is nearly the whole picture no crop is made; of what is nearly all that "
        "the network saw of it, one is",
        ours="The same, unless `--exemplars-whole seen`",
        never="equal",
        checked="By hand: a box of nearly all that was seen, under half of the picture",
        tests=("test_the_least_side_and_the_whole_reach_the_boxes",),
    ),
    Row(
        number=22,
        released="One image may be several exemplars, whole and as crops",
        ours="The same, unless `--exemplars-views` sets how often",
        never="equal",
        checked="Every view without a limit, then those within it",
        tests=("test_an_image_has_no_more_views_among_exemplars_than_asked_for",),
    ),
)


def sides(ledger: Ledger) -> dict[str, Side]:
    """Return the side taken of every row, by its number in two digits, for a run's record."""
    return {f"{row.number:02d}": row.taken(ledger) for row in ROWS}
