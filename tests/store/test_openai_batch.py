import json
import re
from dataclasses import replace

import pytest

from dnd_local.core.conversations import Message, Reply, Request
from dnd_local.core.errors import BadConfig
from dnd_local.store import openai_batch
from dnd_local.store.openai_batch import (
    MAX_LINE_BYTES,
    MOST_LINES,
    THINKING_TOKENS,
    batch_files,
    batch_lines,
    chat_messages,
    missing,
    read_batch_file,
    read_batch_lines,
    read_completion,
    request_id,
)


def request(text="a brown horse", seed=1):
    turns = (Message("system", "Shorten."), Message("user", text))
    return Request(turns, temperature=0.3, seed=seed, max_tokens=40)


ONE, TWO = request(), request('été\n"quoted" $5')
ASKED = {request_id(ONE), request_id(TWO)}


def completion(text, finish="stop"):
    message = {"role": "assistant", "content": text, "refusal": None}
    return {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def line(name, body=None, status=200, error=None, **more):
    response = {"status_code": status, "request_id": "r", "body": body or completion("horse")}
    return json.dumps({"custom_id": name, "response": response, "error": error, **more}).encode()


class TestExport:
    def test_a_line_holds_the_request_as_the_local_model_gets_it(self):
        (text,) = batch_lines([TWO], "gpt-4o")
        assert "\n" not in text
        read = json.loads(text)
        assert read["custom_id"] == request_id(TWO)
        assert (read["method"], read["url"]) == ("POST", "/v1/chat/completions")
        body = read["body"]
        assert body["messages"] == chat_messages(TWO)
        assert body["messages"][1] == {"role": "user", "content": 'été\n"quoted" $5'}
        assert (body["model"], body["temperature"], body["seed"]) == ("gpt-4o", 0.3, 1)
        assert body["max_completion_tokens"] == 40

    def test_a_request_without_a_limit_sends_none(self):
        (text,) = batch_lines([replace(ONE, max_tokens=0)], "gpt-4o")
        assert "max_completion_tokens" not in json.loads(text)["body"]

    def test_equal_requests_are_one_line_and_unequal_ones_are_two(self):
        lines = batch_lines([ONE, TWO, request(), request(seed=2)], "gpt-4o")
        names = [json.loads(text)["custom_id"] for text in lines]
        assert names == [request_id(ONE), request_id(TWO), request_id(request(seed=2))]

    def test_an_id_is_short_enough_for_the_batch_service(self):
        assert len(request_id(ONE)) == 64

    def test_the_same_requests_make_the_same_bytes(self):
        assert batch_lines([ONE, TWO], "m") == batch_lines([request(), TWO], "m")


class TestFamilies:
    def body(self, asked, *family):
        (written,) = batch_lines([asked], "m", *family)
        return json.loads(written)["body"]

    def test_a_chat_model_takes_a_temperature(self):
        body = self.body(replace(ONE, max_tokens=40))
        assert body["temperature"] == ONE.temperature
        assert body["max_completion_tokens"] == 40

    def test_a_reasoning_model_takes_none_and_has_room_for_its_thought(self):
        body = self.body(replace(ONE, max_tokens=40), "reasoning")
        assert "temperature" not in body
        assert body["max_completion_tokens"] == 40 + THINKING_TOKENS
        body = self.body(replace(ONE, max_tokens=40, thinking=100), "reasoning")
        assert body["max_completion_tokens"] == 140

    def test_no_limit_stays_none(self):
        assert "max_completion_tokens" not in self.body(replace(ONE, max_tokens=0), "reasoning")


class TestFiles:
    def test_a_file_has_so_many_lines(self):
        lines = ["x"] * (2 * MOST_LINES + 1)
        assert [len(file) for file in batch_files(lines)] == [MOST_LINES, MOST_LINES, 1]

    def test_a_file_has_so_many_bytes(self, monkeypatch):
        monkeypatch.setattr(openai_batch, "MOST_BYTES", 10)
        assert batch_files(["aaaa", "bbbb", "c", "é" * 4]) == [["aaaa", "bbbb"], ["c"], ["é" * 4]]

    def test_no_lines_make_no_file(self):
        assert batch_files([]) == []


class TestImport:
    def test_replies_find_their_requests_in_any_order(self):
        lines = [line(request_id(TWO), completion("b", "length")), b"\n", line(request_id(ONE))]
        read = read_batch_lines(lines, ASKED)
        assert read.replies == {
            request_id(ONE): Reply("horse"),
            request_id(TWO): Reply("b", "length"),
        }
        assert read.problems == ()

    @pytest.mark.parametrize(
        ("bad", "problem"),
        [
            (b"{", "line 2: malformed: "),
            (b"[]", "line 2: malformed: "),
            (b'{"response": {"status_code": 200}}', "line 2: malformed: .*custom_id"),
            (b'{"custom_id": 5}', "line 2: malformed: .*int"),
            (b"\xff\xfe", "line 2: malformed: "),
            (line("other"), "line 2: unknown id 'other'"),
            (line("o" * 300), "line 2: unknown id 'o{79}…'"),
            (line(request_id(TWO), error={"code": "expired"}), "line 2: id .* failed: .*expired"),
            (line(request_id(TWO), {"error": 1}, 429), "line 2: id .* failed with status 429"),
            (line(request_id(TWO), {"choices": []}), "line 2: not a chat completion: no choices"),
            (line(request_id(TWO), {"x": []}), "line 2: not a chat completion: .*choices"),
            (b'{"custom_id": "x", "error": null}', "line 2: id 'x' has no response"),
            (line(request_id(TWO), more="x" * MAX_LINE_BYTES), "line 2: longer than 1048576 b"),
        ],
    )
    def test_a_bad_line_is_named_and_the_others_enter(self, bad, problem):
        lines = [line(request_id(ONE)), bad, line(request_id(ONE))]
        read = read_batch_lines(lines, ASKED)
        assert read.replies == {request_id(ONE): Reply("horse")}
        (found,) = read.problems
        assert "\n" not in found
        assert re.match(problem, found), found

    def test_of_lines_that_contradict_each_other_none_enters(self):
        pony, horse = (line(request_id(ONE), completion(text)) for text in ("pony", "horse"))
        read = read_batch_lines([horse, line(request_id(TWO)), pony, b"{", horse], ASKED)
        assert set(read.replies) == {request_id(TWO)}
        told = "has different replies on lines 1, 3, 5; none of them counts"
        numbers = [problem.partition(":")[0] for problem in read.problems if told in problem]
        assert numbers == ["line 1", "line 3", "line 5"]
        assert read.problems[2].startswith("line 4: malformed")

    @pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
    def test_a_thought_without_an_answer_is_an_unfinished_thought(self, field):
        body = completion("", "length")
        body["choices"][0]["message"][field] = "Horses, all of them"
        read = read_batch_lines([line(request_id(ONE), body)], ASKED)
        assert read.replies == {request_id(ONE): Reply("<think>Horses, all of them", "length")}

    def test_a_thought_beside_an_answer_is_no_part_of_it(self):
        body = completion("horse")
        body["choices"][0]["message"]["reasoning_content"] = "Horses, all of them"
        read = read_batch_lines([line(request_id(ONE), body)], ASKED)
        assert read.replies == {request_id(ONE): Reply("horse")}

    def test_a_content_filters_stop_stays_one(self):
        read = read_batch_lines([line(request_id(ONE), completion("", "content_filter"))], ASKED)
        assert read.replies == {request_id(ONE): Reply("", "content_filter")}

    def test_a_refusal_is_a_reply_for_the_checks_to_reject(self):
        body = completion(None)
        body["choices"][0]["message"]["refusal"] = "I cannot"
        read = read_batch_lines([line(request_id(ONE), body)], ASKED)
        assert read.replies == {request_id(ONE): Reply("I cannot", "refusal")}

    def test_a_file_is_read_line_by_line_however_long_a_line_is(self, tmp_path):
        path = tmp_path / "replies.jsonl"
        long = b'{"custom_id": "' + b"x" * (3 * MAX_LINE_BYTES) + b'"}'
        path.write_bytes(b"\n".join([long, line(request_id(ONE)), line(request_id(TWO))]))
        read = read_batch_file(path, ASKED)
        assert set(read.replies) == ASKED
        assert read.problems == ("line 1: longer than 1048576 bytes",)

    def test_a_file_that_ends_in_a_long_line_ends(self, tmp_path):
        path = tmp_path / "replies.jsonl"
        path.write_bytes(b"x" * (MAX_LINE_BYTES + 5))
        assert read_batch_file(path, ASKED).problems == ("line 1: longer than 1048576 bytes",)

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(BadConfig, match=r"cannot read replies .*none.jsonl"):
            read_batch_file(tmp_path / "none.jsonl", ASKED)

    def test_what_went_out_comes_back(self):
        out = [json.loads(text) for text in batch_lines([ONE, TWO], "gpt-4o")]
        back = [line(sent["custom_id"], completion(str(i))) for i, sent in enumerate(out)]
        replies = read_batch_lines(back, ASKED).replies
        assert [replies[request_id(r)].text for r in (ONE, TWO)] == ["0", "1"]
        assert missing([ONE, TWO], replies) == ()


def test_what_is_missing_is_listed_once_in_order():
    three = request("three")
    assert missing([three, ONE, TWO, three], {request_id(ONE)}) == (three, TWO)


@pytest.mark.parametrize("body", [b"", b"{", b'"\xff"', b'{"choices": [{}]}', b'{"choices": null}'])
def test_what_is_no_completion_is_an_error(body):
    with pytest.raises(ValueError, match="not a chat completion"):
        read_completion(body)


def test_a_completion_without_text_is_an_empty_reply():
    assert read_completion(b'{"choices": [{"message": {}}]}') == Reply("", "stop")
