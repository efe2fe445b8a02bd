#!/usr/bin/env python3
"""Trains the demo model, or checks the one that is there.

    python scripts/train_demo_model.py --out models/demo.gguf
    python scripts/train_demo_model.py --out models/demo.gguf --check [--url http://127.0.0.1:8001]

In: scripts/demo_model/corpus. Out: the GGUF file and, beside it, a .json file with the known answers. Needs
the packages of scripts/demo-model-requirements.lock. With --check it exits with 1 if a known answer is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

# Before torch is imported: threads that wait by sleeping leave a shared machine's CPU to others; measured on
# two busy cores, a step took a quarter of the CPU time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from demo_model import NAME, VERSION
from demo_model.corpus import Corpus, load_corpus

VOCABULARY = 1536
STEPS = 1600
SEED = 20
THREADS = 2


def main() -> int:
    """Parse the command line and do one of the two jobs."""
    parser = argparse.ArgumentParser(description="Train or check the demo model.")
    parser.add_argument("--out", type=Path, default=Path("models/demo.gguf"), help="the GGUF file")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"training steps (default {STEPS})")
    parser.add_argument("--check", action="store_true", help="check the file instead of training")
    parser.add_argument("--url", help="with --check: a running llama.cpp server that serves the file")
    options = parser.parse_args()
    corpus = load_corpus()
    if options.check:
        return check(options.out, corpus, options.url)
    build(options.out, corpus, options.steps)
    return 0


def build(out: Path, corpus: Corpus, steps: int) -> None:
    """Train and write the GGUF file and its list of known answers."""
    import torch
    from demo_model.export import write_gguf
    from demo_model.network import Shape
    from demo_model.tokenizer import train_tokenizer
    from demo_model.training import train

    torch.set_num_threads(THREADS)
    started = time.monotonic()
    tokenizer = train_tokenizer(corpus.texts(), VOCABULARY)
    shape = Shape(vocabulary=tokenizer.get_vocab_size())

    def report(line: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {line}", file=sys.stderr, flush=True)

    network = train(corpus, tokenizer, shape, steps=steps, seed=SEED, report=report)
    write_gguf(network, tokenizer, out)
    out.with_suffix(".json").write_text(known_answers(corpus), encoding="utf-8")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"{out}: {parameters} parameters, {out.stat().st_size} bytes")


def known_answers(corpus: Corpus) -> str:
    """Return the JSON text that lists each fixed question with its answer."""
    answers = [
        {"question": entry.questions[0], "answer": entry.answer}
        for entry in corpus.entries
        if entry.fixed and not entry.endless
    ]
    endless = [{"question": entry.questions[0], "word": entry.answer} for entry in corpus.entries if entry.endless]
    document = {"name": NAME, "version": VERSION, "temperature": 0, "answers": answers, "endless": endless}
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def check(model: Path, corpus: Corpus, url: str | None) -> int:
    """Print the result of each check; 1 when one that must be perfect is not."""
    from demo_model.engine import Engine, OwnEngine
    from demo_model.verify import check_answers, check_embeddings, load_tokenizer

    engine = Engine(url) if url else OwnEngine(model)
    failed = False
    for result in check_answers(engine, corpus, load_tokenizer(model)):
        print(result, flush=True)
        failed = failed or result.failed
    if not url:
        print(check_embeddings(OwnEngine(model, embedding=True), corpus))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
