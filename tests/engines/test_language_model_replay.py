import pickle

import pytest

from dnd_local.core.conversations import Exchange, Message, Reply, Request
from dnd_local.core.errors import UserError
from dnd_local.core.protocols import LanguageModel
from dnd_local.engines.language_model_replay import ReplayLanguageModel, RepliesMissing, book_of
from dnd_local.store.openai_batch import request_id


def request(text, seed=1):
    return Request((Message("user", text),), temperature=0.3, seed=seed, max_tokens=40)


def exchange(text, reply, seed=1):
    return Exchange("simplify", 0, 0, request(text, seed), Reply(reply), reply)


BOOK = book_of(
    [exchange("a", "A"), exchange("b", "B"), exchange("a", "other"), exchange("a", "A2", 2)]
)


def test_repeats_what_was_said():
    engine = ReplayLanguageModel(BOOK)
    assert isinstance(engine, LanguageModel)
    assert engine.reply([request("b"), request("a"), request("a", 2)]) == [
        Reply("B"),
        Reply("A"),
        Reply("A2"),
    ]
    assert engine.reply([]) == []


def test_the_first_reply_to_a_request_counts():
    assert BOOK[request_id(request("a"))] == Reply("A")


def test_a_failed_reply_is_repeated_too():
    failed = Exchange("simplify", 0, 0, request("a"), Reply("", "error: x"), "", "error: x")
    assert ReplayLanguageModel(book_of([failed])).reply([request("a")]) == [Reply("", "error: x")]


def test_what_is_missing_is_the_next_round():
    asked = [request("c"), request("a"), request("d"), request("c")]
    with pytest.raises(RepliesMissing, match=r"^2 requests .* have no recorded reply") as caught:
        ReplayLanguageModel(BOOK).reply(asked)
    assert caught.value.requests == (request("c"), request("d"))
    assert isinstance(caught.value, UserError)


def test_one_missing_reply_is_told_in_the_singular():
    with pytest.raises(RepliesMissing, match=r"^1 request .* has no recorded reply.*export"):
        ReplayLanguageModel({}).reply([request("c")])


def test_the_error_crosses_from_a_worker_process():
    error = RepliesMissing((request("c"),))
    again = pickle.loads(pickle.dumps(error))
    assert (again.requests, str(again)) == (error.requests, str(error))
