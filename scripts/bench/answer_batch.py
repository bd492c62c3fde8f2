"""Answer an OpenAI batch file with a model of a folder, as a service elsewhere would.

    python scripts/bench/answer_batch.py ROUND.jsonl REPLIES.jsonl --model FOLDER

It tries `prompts export` and `import` without a service. The folder is a chat model of
transformers.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed


def main() -> None:
    """Write one reply a line, in the form of a batch service's output file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("questions", type=Path)
    parser.add_argument("replies", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=16)
    given = parser.parse_args()
    lines = [json.loads(line) for line in given.questions.read_text("utf-8").splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(given.model, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(given.model).eval()
    # Of like length together, so that little is padded.
    lines.sort(key=lambda line: len(str(line["body"]["messages"])))
    with given.replies.open("w", encoding="utf-8") as out:
        for at in range(0, len(lines), given.batch):
            batch = lines[at : at + given.batch]
            for line, text in zip(batch, answer(model, tokenizer, batch, at), strict=True):
                body = {"choices": [{"message": {"role": "assistant", "content": text},
                                     "finish_reason": "stop"}]}  # fmt: skip
                reply = {"custom_id": line["custom_id"], "error": None,
                         "response": {"status_code": 200, "body": body}}  # fmt: skip
                out.write(json.dumps(reply) + "\n")
            print(f"{at + len(batch)} of {len(lines)}", flush=True)


def answer(model: Any, tokenizer: Any, lines: list[dict[str, Any]], seed: int) -> list[str]:
    """Return the replies to some questions; one temperature serves all of them."""
    set_seed(seed)
    prompts = [
        tokenizer.apply_chat_template(
            line["body"]["messages"], tokenize=False, add_generation_prompt=True
        )
        for line in lines
    ]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
    body = lines[0]["body"]
    heat = float(body.get("temperature", 0))
    sampling = (
        {"do_sample": True, "temperature": heat, "top_k": 0} if heat else {"do_sample": False}
    )
    with torch.inference_mode():
        tokens = model.generate(**inputs, max_new_tokens=body.get("max_tokens", 32), **sampling)
    texts: list[str] = tokenizer.batch_decode(
        tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
    )
    return texts


if __name__ == "__main__":
    main()
