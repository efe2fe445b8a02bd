#!/usr/bin/env python3
"""Trains the demo model, or checks the one that is there.

    python scripts/train_demo_model.py --out models/demo.gguf [--start models/demo.gguf]
    python scripts/train_demo_model.py --out models/demo.gguf --check [--url http://127.0.0.1:8001]

In: scripts/demo_model/corpus, and with --start a file that was trained before, whose weights and tokenizer are
taken. Out: the GGUF file and, beside it, a .json file with the known answers; while it trains, a -part.gguf that
--start takes, too. Needs the packages of scripts/demo-model-requirements.lock. With --check it exits with 1 if a
known answer is wrong.
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
STEPS, PEAK_RATE = 1600, 3e-3
# A network that knows most answers needs few steps for the others, and higher rates cost it some of its own.
CONTINUED_STEPS, CONTINUED_RATE = 800, 1e-3
SEED = 20
# On a machine that others use, too, a second one waits for the first more than it helps.
THREADS = 1


def main() -> int:
    """Parse the command line and do one of the two jobs."""
    parser = argparse.ArgumentParser(description="Train or check the demo model.")
    parser.add_argument("--out", type=Path, default=Path("models/demo.gguf"), help="the GGUF file")
    parser.add_argument("--start", type=Path, help="a GGUF file of this model to train on, instead of from nothing")
    steps_help = f"training steps (default {STEPS}, with --start {CONTINUED_STEPS})"
    parser.add_argument("--steps", type=int, help=steps_help)
    parser.add_argument("--check", action="store_true", help="check the file instead of training")
    parser.add_argument("--url", help="with --check: a running llama.cpp server that serves the file")
    options = parser.parse_args()
    corpus = load_corpus()
    if options.check:
        return check(options.out, corpus, options.url)
    build(options.out, corpus, options.start, options.steps)
    return 0


def build(out: Path, corpus: Corpus, start: Path | None, steps: int | None) -> None:
    """Train, from nothing or on from a file, and write the GGUF file and its list of known answers."""
    import torch
    from demo_model.export import read_gguf, write_gguf
    from demo_model.network import DemoNetwork, Shape
    from demo_model.tokenizer import load_tokenizer, train_tokenizer
    from demo_model.training import train

    torch.set_num_threads(THREADS)
    torch.manual_seed(SEED)
    started = time.monotonic()
    if start:
        network, tokenizer = read_gguf(start), load_tokenizer(start)
        steps, rate = steps or CONTINUED_STEPS, CONTINUED_RATE
    else:
        tokenizer = train_tokenizer(corpus.texts(), VOCABULARY)
        network = DemoNetwork(Shape(vocabulary=tokenizer.get_vocab_size()))
        steps, rate = steps or STEPS, PEAK_RATE
    part = out.with_name(f"{out.stem}-part.gguf")

    def report(line: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {line}", file=sys.stderr, flush=True)

    def keep() -> None:
        write_gguf(network, tokenizer, part)

    train(corpus, tokenizer, network, steps=steps, rate=rate, seed=SEED, report=report, keep=keep)
    write_gguf(network, tokenizer, out)
    part.unlink(missing_ok=True)
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
    from demo_model.tokenizer import load_tokenizer
    from demo_model.verify import check_answers, check_embeddings

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
