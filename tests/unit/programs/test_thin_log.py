"""What is left of a talkative engine's log: all of its start, every warning, two lines a request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.engine.offload import parse_offload
from stackctl.programs.thin_log import thin

START = b"""launch: inference-chat starts as process 7, 2026-11-27 10:00:00+0000
0.00.051.545 I srv          init: loading model
0.00.051.783 I srv    load_model: loading model '/m.gguf'
0.00.100.100 I load_tensors: offloaded 33/33 layers to GPU
0.00.100.200 I load_tensors:        CUDA0 model buffer size =  4095.05 MiB
0.00.175.860 I slot   load_model: id  0 | task -1 | new slot, n_ctx = 256
0.00.197.758 I srv          init: init: chat template, example_format: '<|im_start|>system
You are a helpful assistant<|im_end|>
'
0.00.200.073 I srv          init: model loaded
0.00.200.089 I srv          init: listening on http://127.0.0.1:19104
"""
REQUEST = b"""0.00.362.639 I srv  server_strea: conv_id= (empty=1)
0.00.367.713 I slot get_availabl: id  0 | task -1 |  - skipping, slot is empty
0.00.367.839 I srv  get_availabl: updating prompt cache
0.00.368.181 I slot launch_slot_: id  3 | task -1 | sampler params: \n\trepeat_last_n = 64, repeat_penalty = 1.000
\tmirostat = 0, mirostat_lr = 0.100
0.00.368.202 I slot launch_slot_: id  3 | task 0 | processing task, is_child = 0
0.00.452.543 I slot print_timing: id  3 | task 0 | prompt eval time =      11.73 ms /    12 tokens (    0.98 ms)
0.00.452.619 I slot print_timing: id  3 | task 0 |        eval time =      72.50 ms /    20 tokens (    3.82 ms)
0.00.452.637 I slot print_timing: id  3 | task 0 |       total time =      84.23 ms /    32 tokens
0.00.452.695 I slot      release: id  3 | task 0 | stop processing: n_tokens = 31, truncated = 0
"""
END = b"""0.06.094.564 I ~Server: waiting for main loop exit
0.06.094.647 I srv    operator(): operator(): cleaning up before exit...
"""


def run(log: bytes) -> bytes:
    return b"".join(thin(log.splitlines(keepends=True)))


def test_all_of_the_start_is_kept_and_with_it_the_proof() -> None:
    log = run(START + REQUEST * 1000 + END)
    assert log.startswith(START)
    assert parse_offload(log.decode()).is_on_gpu
    assert log.endswith(END)


def test_a_request_leaves_how_fast_it_was() -> None:
    kept = run(START + REQUEST).removeprefix(START).splitlines()
    assert [line.split(b"|")[-1].split(b"=")[0].strip() for line in kept] == [b"prompt eval time", b"eval time"]


def test_warnings_errors_and_what_is_not_known_are_kept_at_any_time() -> None:
    told = (
        b"0.01.000 W slot update_slots: id 1 | context is full\n",
        b"0.01.000 E srv send_error: no room\n",
        b"0.01.000 I srv cancel_tasks: cancel task, id_task = 4\n",
        b"0.01.000 I ggml_cuda_host_malloc: something new\n",
        b"CUDA error: out of memory\n",
        b"  current device: 0, in function alloc\n",
    )
    for line in told:
        assert run(START + REQUEST + b"0.01.000 I slot release: id 1\n0.02 I cmn x: y\n" + line).endswith(line)
        assert line in run(START + line)


def test_what_a_dying_engine_says_is_no_part_of_the_line_before_it() -> None:
    """They have no prefix, as the continuation of a request's line that is left out has none."""
    for last_words in (
        b"GGML_ASSERT(x) failed\n[New LWP 4711]\n",
        b"CUDA error: out of memory\n  current device: 0, in function alloc\n",
        b"terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n",
        b"  what():  std::bad_alloc\n",
    ):
        assert run(START + REQUEST + last_words).endswith(last_words)


def test_another_load_in_the_same_process_is_kept_whole() -> None:
    assert run(START + REQUEST + START).endswith(START)


def test_a_log_without_prefixes_passes_as_it_is() -> None:
    log = b"srv listening: on http://x\nslot release: id 1\n" * 3
    assert run(log) == log


@given(st.binary(max_size=400))
def test_nothing_is_made_up_and_any_bytes_pass(data: bytes) -> None:
    lines = (START + data).splitlines(keepends=True)
    kept = list(thin(lines))
    rest = iter(lines)
    assert all(line in rest for line in kept), "a part of the lines in their order"
