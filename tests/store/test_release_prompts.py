"""Made-up files of the release's structure: none of its wording is here."""

import pytest

from dnd_local.core.conversations import Message
from dnd_local.core.errors import BadConfig
from dnd_local.store.prompts import PromptFolder
from dnd_local.store.release_prompts import import_release

MODELS = """
import nothing_that_exists
raise SystemExit("this file must never run")

KEY = ''

def other(images, headers=None):
    payload = {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}

def GPT_model_single(descriptions, headers=None, model="m", temperature=0.3):
    if headers is None: headers = KEY
    content_user_1 = (
        "Worked example one: "
        + "first."
        + ", "
        + "second costs $5.\\n"
    )
    content_assist_1 = (
        "one"
    )
    content_user_2 = ("Worked example two: " + "third.")
    content_assist_2 = (" two")
    content_user = "Now these: "
    for i in range(len(descriptions)):
        content_user = content_user + descriptions[i]
        if descriptions[i] != descriptions[-1]:
            content_user = content_user + ', '
    payload = {
        "model": model,
        "messages": [
            {"role": "user", "content": content_user_1},
            {"role": "assistant", "content": content_assist_1},
            {"role": "user", "content": content_user_2},
            {"role": "assistant", "content": content_assist_2},
            {"role": "user", "content": content_user},
        ],
        "temperature": temperature,
    }
    response = post("http://nowhere.invalid", json=payload)
    said = response['choices'][0]
    if ':' in said:
        parts = said.split(':')
        said = parts[1]
    again = "Only one: "
    if ',' in said:
        several = said.split(',')
        for i in range(len(several)):
            again = again + several[i]
            if several[i] != several[-1]:
                again = again + ', '
        payload = {"messages": [{"role": "user", "content": again}], "temperature": temperature}
        post("http://nowhere.invalid", json=payload)
    return said

def GPT_simplify(description, headers=None):
    content_user_1 = "Shorten: " + "a thing that is a thing."
    headers = {**headers, 5: 6}
    content_user = "Without a period, shorten: "
    content_user += description
    payload = {
        "messages": [
            {"role": "user", "content": content_user_1},
            {"role": "assistant", "content": "A thing"},
            {"role": "user", "content": content_user},
        ],
    }
    post("http://nowhere.invalid", json=payload)
"""

MAIN = """
import argparse
if __name__ == '__main__':
    for orig_id in range(3):
        pass
    count, sd_other = 10, "x"
    sd_prompt = 'A made-up picture of {}'
"""


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "DnD_models.py").write_text(MODELS)
    (folder / "describe_neurons.py").write_text(MAIN)
    return folder


def change(checkout, old, new, name="DnD_models.py"):
    text = (checkout / name).read_text()
    assert old in text
    (checkout / name).write_text(text.replace(old, new))


def test_the_wording_becomes_a_prompt_set(checkout, tmp_path):
    import_release(checkout, tmp_path / "out")
    prompts = PromptFolder(tmp_path / "out")
    assert prompts.messages("simplify", caption="$5 for {}") == (
        Message("user", "Shorten: a thing that is a thing."),
        Message("assistant", "A thing"),
        Message("user", "Without a period, shorten: $5 for {}"),
    )
    assert prompts.messages("summarise", phrases="a\nb") == (
        Message("user", "Worked example one: first., second costs $5.\n"),
        Message("assistant", "one"),
        Message("user", "Worked example two: third."),
        Message("assistant", " two"),
        Message("user", "Now these: a\nb"),
    )
    assert prompts.messages("merge", label="a, b") == (Message("user", "Only one: a, b"),)
    assert prompts.messages("picture", label="cat") == (
        Message("user", "A made-up picture of cat"),
    )


def test_what_was_found_is_told(checkout, tmp_path):
    found = import_release(checkout, tmp_path / "out")
    told = [(p.name, p.source, p.roles, p.joint) for p in found.prompts]
    talk = ("user", "assistant", "user")
    assert told == [
        ("simplify", "DnD_models.py", talk, ""),
        ("summarise", "DnD_models.py", (*talk, "assistant", "user"), ", "),
        ("merge", "DnD_models.py", ("user",), ", "),
        ("picture", "describe_neurons.py", ("user",), ""),
    ]
    lines = MODELS.split("\n")
    assert [lines[p.line - 1].strip() for p in found.prompts[:2]] == ['"messages": ['] * 2
    assert [name for name, _ in found.digests] == ["DnD_models.py", "describe_neurons.py"]
    assert all(p.path.is_file() for p in found.prompts)
    assert "no licence" in (found.folder / "SOURCE.txt").read_text()


@pytest.mark.parametrize("name", ["DnD_models.py", "describe_neurons.py"])
@pytest.mark.parametrize("text", ["x = (", "\0", "(" * 5000, "x = 1", "#" * (1 << 21)])
def test_a_file_that_is_something_else_is_refused_in_one_line(checkout, tmp_path, name, text):
    (checkout / name).write_text(text)
    with pytest.raises(BadConfig, match=f"{name} is not the release's file of that name") as caught:
        import_release(checkout, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_missing_file_is_refused(checkout, tmp_path):
    (checkout / "describe_neurons.py").unlink()
    with pytest.raises(BadConfig, match=r"describe_neurons.py .*No such file"):
        import_release(checkout, tmp_path / "out")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("def GPT_simplify", "def GPT_shorten", "no function GPT_simplify"),
        (
            'payload = {"messages": [{"role": "user", "content": again}',
            "payload = {'m': [{}",
            "1 c",
        ),
        ("content_user += description", "pass", r"simplify prompt has its open places"),
        ('"Shorten: " + "a', '"Shorten: " + KEY_2 + "a', r"open places elsewhere \(\[1, 0, 1\]\)"),
        ('"content": again', '"text": again', "other parts"),
        (
            '{"role": "user", "content": again',
            '{"role": "tool", "content": again',
            "turn of 'tool'",
        ),
        (
            '"role": "assistant", "content": "A thing"',
            '"role": "user", "content": "A"',
            "other turns",
        ),
        (
            "content_user = content_user + ', '",
            "content_user = content_user + '; '",
            "joins by '; '",
        ),
        ('"Only one: "', '"Only one:\\r"', "turn of 'user' we cannot write down"),
        ('"Only one: "', '"Only one:\\n--- user\\n"', "turn of 'user' we cannot write down"),
    ],
)
def test_a_file_of_another_structure_is_refused(checkout, tmp_path, old, new, message):
    change(checkout, old, new)
    with pytest.raises(BadConfig, match=message):
        import_release(checkout, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("new", "message"), [("of it", "no single"), ("{} {}", "no single")])
def test_a_picture_template_without_its_place_is_refused(checkout, tmp_path, new, message):
    change(checkout, "of {}", new, "describe_neurons.py")
    with pytest.raises(BadConfig, match=message):
        import_release(checkout, tmp_path / "out")


def test_a_folder_in_use_is_left_alone(checkout, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(BadConfig, match="is in use"):
        import_release(checkout, tmp_path)
    with pytest.raises(BadConfig, match="is in use"):
        import_release(checkout, tmp_path / "mine.txt")


def test_an_empty_folder_is_filled(checkout, tmp_path):
    (tmp_path / "out").mkdir()
    assert import_release(checkout, tmp_path / "out").folder == tmp_path / "out"
