"""The C API: statuses, options, threads, and a floating-point control word that nobody can spoil."""

import ctypes
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from conformance.graphs import random_graph, unit_graph
from native.binding import ARGUMENT, BUSY, OK, UNSUPPORTED, Model, address, link_flags
from reactnet.graph import GraphBuilder, dumps, run_reference
from reactnet.runtime import _native, system

NATIVE = Path(__file__).parents[2] / "native"
GRAPH = unit_graph(65)
DATA = dumps(GRAPH)
INTEGER = dumps(next(graph for graph in map(random_graph, range(40)) if graph.ends == "integer"))
IMAGES = np.random.default_rng(0).integers(0, 256, (5, *GRAPH.input_shape), dtype=np.uint8)
LOGITS = run_reference(GRAPH, IMAGES)
CLASSES = LOGITS.shape[1]


@contextmanager
def opened(threads: int = 1, flags: int = 0, data: bytes = DATA) -> Iterator[tuple[Model, ctypes.c_void_p]]:
    with Model(data, threads=threads) as model:
        assert model.status == OK, model.words
        context = model.context(flags)
        yield model, context
        model.library.reactnet_context_free(context)


# Options -----------------------------------------------------------------------------------------------------------


def test_the_header_is_c99(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler")
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{NATIVE / 'include'}"]
    program = tmp_path / "header"
    source = str(NATIVE / "tests" / "header.c")
    subprocess.run([compiler, *strict, source, *link_flags(tmp_path), "-o", str(program)], check=True)
    assert subprocess.run([str(program)], check=False).returncode == 0


@pytest.mark.parametrize("isa", ["sse9", "", "AVX2", "avx2 "])
def test_an_isa_that_is_none_is_named_with_the_choices(isa: str) -> None:
    with Model(DATA, isa=isa) as model:
        assert model.status == ARGUMENT
        assert f"'{isa}'" in model.words
        assert "scalar avx2 avx512 neon dotprod wasm" in model.words


def test_an_isa_that_this_machine_lacks_is_unsupported() -> None:
    lacking = {"scalar", "avx2", "avx512", "neon", "dotprod", "wasm"} - set(system()["isas"])
    for isa in lacking:
        with Model(DATA, isa=isa) as model:
            assert model.status == UNSUPPORTED
            assert f"'{isa}'" in model.words
            assert " ".join(system()["isas"]) in model.words


def test_the_environment_is_read_when_a_model_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTNET_ISA", "scalar")
    monkeypatch.setenv("REACTNET_THREADS", "3")
    with Model(DATA) as model:
        plan = json.loads(model.library.reactnet_model_plan(model.handle))
        assert (plan["isa"], plan["threads"]) == ("scalar", 3)
    with Model(DATA, threads=2, isa=system()["isa"]) as model:
        plan = json.loads(model.library.reactnet_model_plan(model.handle))
        assert (plan["isa"], plan["threads"]) == (system()["isa"], 2)


@pytest.mark.parametrize("threads", ["0", "-1", "two", "1.0", "", " 2", "1025", "4294967297", "9" * 40])
def test_a_bad_thread_count_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch, threads: str) -> None:
    monkeypatch.setenv("REACTNET_THREADS", threads)
    with Model(DATA) as model:
        assert model.status == ARGUMENT
        assert f"REACTNET_THREADS is '{threads}'" in model.words
        assert "1 to 1024" in model.words


def test_a_bad_isa_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTNET_ISA", "fastest")
    with Model(DATA) as model:
        assert model.status == ARGUMENT
        assert "REACTNET_ISA is 'fastest'" in model.words


def test_too_many_threads_and_structs_of_another_size_are_refused() -> None:
    with Model(DATA, threads=1025) as model:
        assert model.status == ARGUMENT
        assert "1025" in model.words
    with opened() as (model, _):
        info = _native.Info()
        info.size = 8
        get = model.library.reactnet_model_info
        assert get(model.handle, ctypes.byref(info), ctypes.byref(model.error)) == ARGUMENT


# Arguments ---------------------------------------------------------------------------------------------------------


def test_null_arguments_are_argument_errors() -> None:
    with opened() as (model, context):
        library, error = model.library, ctypes.byref(model.error)
        out = ctypes.c_void_p()
        assert library.reactnet_model_open(None, None, ctypes.byref(out), error) == ARGUMENT
        assert library.reactnet_model_open_memory(None, 1, None, ctypes.byref(out), error) == ARGUMENT
        assert library.reactnet_context_create(None, 0, ctypes.byref(out), error) == ARGUMENT
        assert library.reactnet_context_create(model.handle, 4, ctypes.byref(out), error) == ARGUMENT
        assert library.reactnet_run_u8(None, None, 0, None, error) == ARGUMENT
        assert library.reactnet_run_f32(None, None, 0, None, error) == ARGUMENT
        assert library.reactnet_run_u8(context, None, 1, None, error) == ARGUMENT
        assert library.reactnet_preprocess(model.handle, None, 1, 1, None, error) == ARGUMENT
        assert library.reactnet_resize(None, 1, 1, 1, 1, 1, None, error) == ARGUMENT
        assert library.reactnet_run_u8(context, None, 0, None, None) == OK  # nothing to do, nowhere to report
        library.reactnet_model_free(None)
        library.reactnet_context_free(None)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (2**21, 1), (2**20, 2**20), (2**32 - 1, 2**32 - 1)])
def test_absurd_images_are_argument_errors(size: tuple[int, int]) -> None:
    out = np.zeros(GRAPH.input_shape, np.uint8)
    with opened() as (model, _):
        call = model.library.reactnet_preprocess
        assert call(model.handle, address(out), *size, address(out), ctypes.byref(model.error)) == ARGUMENT
        assert f"{size[0]}x{size[1]}" in model.words


def test_words_past_the_room_are_cut_between_characters() -> None:
    with Model(path="/" + "é" * 2000) as model:
        assert len(model.error.message) in (766, 767)
        model.error.message.decode()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_image_that_is_not_finite_is_refused_before_anything_runs(bad: float) -> None:
    images = np.zeros((3, *GRAPH.input_shape), np.float32)
    images[2, 0, 1, 0] = bad
    with opened() as (model, context):
        status, logits = model.run(context, images, CLASSES)
        assert status == ARGUMENT
        assert "image 2" in model.words
        assert np.all(logits == 7)


def test_an_integer_file_takes_no_float_images() -> None:
    with opened(data=INTEGER) as (model, context):
        status, _ = model.run(context, np.zeros((1, 1, 1, 1), np.float32), 1)
        assert status == UNSUPPORTED
        assert "uint8" in model.words


def test_a_nan_logit_has_one_bit_pattern() -> None:
    builder = GraphBuilder("nan", (1, 1, 1))
    x = builder.add("normalize", builder.input, table=np.full((256, 1), 3e38, np.float32))
    x = builder.add("affine", x, scale=np.full(1, 3e38, np.float32), shift=np.zeros(1, np.float32))
    x = builder.add("add", (x, builder.add("affine", x, scale=-np.ones(1, np.float32), shift=np.zeros(1, np.float32))))
    with opened(data=dumps(builder.build(x))) as (model, context):
        _, logits = model.run(context, np.zeros((1, 1, 1, 1), np.uint8), 1)
        assert logits.view(np.uint32)[0, 0] == 0x7FC00000


def test_values_need_a_context_that_keeps_them_and_a_run() -> None:
    size = ctypes.c_size_t(4 * CLASSES)
    out = np.zeros(CLASSES, np.float32)

    def value(name: str) -> int:
        error = ctypes.byref(model.error)
        return model.library.reactnet_context_value(context, name.encode(), address(out), ctypes.byref(size), error)

    with opened() as (model, context):
        assert value(GRAPH.output) == ARGUMENT
    with opened(flags=_native.KEEP_VALUES) as (model, context):
        assert value(GRAPH.output) == ARGUMENT
        assert "has not run" in model.words
        model.run(context, IMAGES, CLASSES)
        assert value(GRAPH.output) == OK
        np.testing.assert_array_equal(out, LOGITS[-1])
        assert value("nobody") == ARGUMENT
        assert "'nobody'" in model.words
        size.value = 1
        assert value(GRAPH.output) == ARGUMENT
        assert size.value == 4 * CLASSES


# Times -------------------------------------------------------------------------------------------------------------


def step_times(model: Model, context: ctypes.c_void_p, room: int) -> tuple[int, np.ndarray, int]:
    seconds, count = np.full(room, -1.0), ctypes.c_size_t(room)
    error = ctypes.byref(model.error)
    call = model.library.reactnet_context_step_times
    status = call(context, address(seconds) if room else None, ctypes.byref(count), error)
    return status, seconds, count.value


@pytest.mark.parametrize("flags", [_native.TIME_STEPS, _native.TIME_STEPS | _native.KEEP_VALUES])
@pytest.mark.parametrize("threads", [1, 3])
def test_every_step_is_timed_and_the_run_takes_as_long_as_its_steps(flags: int, threads: int) -> None:
    many = np.repeat(IMAGES, 50, axis=0)
    with opened(threads, flags) as (model, context):
        plan = json.loads(model.library.reactnet_model_plan(model.handle))
        steps = len(GRAPH.nodes) if flags & _native.KEEP_VALUES else len(plan["steps"])
        assert step_times(model, context, 0)[::2] == (OK, steps)
        start = time.perf_counter()
        status, logits = model.run(context, many, CLASSES)
        took = time.perf_counter() - start
        assert status == OK
        np.testing.assert_array_equal(logits, np.repeat(LOGITS, 50, axis=0))
        status, seconds, _ = step_times(model, context, steps)
        assert status == OK
        assert (seconds > 0).all()
        assert seconds.sum() < took
        model.run(context, IMAGES[:1], CLASSES)
        assert step_times(model, context, steps)[1].sum() < seconds.sum()  # of the last run, not of all


def test_times_need_a_context_that_keeps_them_a_run_and_room() -> None:
    with opened() as (model, context):
        assert step_times(model, context, 100)[0] == ARGUMENT
        assert "REACTNET_TIME_STEPS" in model.words
    with opened(flags=_native.TIME_STEPS) as (model, context):
        assert step_times(model, context, 100)[0] == ARGUMENT
        assert "has not run" in model.words
        model.run(context, IMAGES, CLASSES)
        status, seconds, count = step_times(model, context, 1)
        assert (status, seconds[0]) == (ARGUMENT, -1)
        assert count > 1


@pytest.mark.parametrize("seconds", [0, -1, 61, float("nan"), float("inf")])
def test_a_popcount_peak_takes_a_sensible_time(seconds: float) -> None:
    gmacs, error = ctypes.c_double(), _native.Error()
    call = _native.library().reactnet_popcount_peak
    assert call(seconds, ctypes.byref(gmacs), ctypes.byref(error)) == ARGUMENT


# Threads -----------------------------------------------------------------------------------------------------------


def test_a_context_that_runs_is_busy() -> None:
    many = np.repeat(IMAGES, 200, axis=0)
    statuses: list[int] = []
    with opened() as (model, context):

        def work(start: threading.Barrier) -> None:
            start.wait()
            statuses.append(model.run(context, many, CLASSES)[0])

        while BUSY not in statuses and len(statuses) < 100:  # two runs that overlap, unless the machine parts them
            start = threading.Barrier(2)
            pair = [threading.Thread(target=work, args=(start,)) for _ in range(2)]
            for thread in pair:
                thread.start()
            for thread in pair:
                thread.join()
        assert set(statuses) == {OK, BUSY}
        assert model.run(context, IMAGES[:1], CLASSES)[0] == OK


def test_contexts_of_one_model_run_at_once_with_the_same_bits() -> None:
    wrong = []

    def work(model: Model) -> None:
        context = model.context()
        for _ in range(20):
            status, logits = model.run(context, IMAGES, CLASSES)
            if status != OK or logits.tobytes() != LOGITS.tobytes():
                wrong.append(status)
        model.library.reactnet_context_free(context)

    with Model(DATA, threads=3) as model:
        threads = [threading.Thread(target=work, args=(model,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


@pytest.mark.parametrize("threads", [1, 2, 7, 64])
def test_more_threads_than_rows_change_no_bit(threads: int) -> None:
    with opened(threads) as (model, context):
        for _ in range(3):
            assert model.run(context, IMAGES, CLASSES)[1].tobytes() == LOGITS.tobytes()


def tasks() -> int:
    """Threads of this process, as the system counts them."""
    return len(list(Path("/proc/self/task").iterdir()))


def test_threads_end_with_the_model() -> None:
    before = tasks()
    with opened(4) as (model, context):
        model.run(context, IMAGES, CLASSES)
        assert tasks() == before + 3
    assert tasks() == before


def test_a_forked_process_makes_its_own_threads(tmp_path: Path) -> None:
    """In a process of its own, since pytest's has more threads than a fork may copy."""
    (tmp_path / "x.rnet").write_bytes(DATA)
    np.save(tmp_path / "images.npy", IMAGES)
    code = f"""
import os, numpy as np
from reactnet.runtime import Session
images = np.load({str(tmp_path / "images.npy")!r})
session = Session({str(tmp_path / "x.rnet")!r}, 3)
before = session.run(images).tobytes()
child = os.fork()
if child == 0:
    tasks = len(os.listdir("/proc/self/task"))
    same = session.run(images).tobytes() == before
    made = len(os.listdir("/proc/self/task")) - tasks
    session.close()
    os._exit(0 if same and made == 2 else 1)
assert session.run(images).tobytes() == before
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_flush_to_zero_changes_no_bit_and_is_put_back() -> None:
    """Subnormal numbers in a thread that flushes them: the run must not, and must leave the thread as it was."""
    torch = pytest.importorskip("torch")
    builder = GraphBuilder("subnormal", (4, 3, 1))
    table = np.linspace(-1e-38, 1e-38, 256, dtype=np.float32)[:, None]
    x = builder.add("normalize", builder.input, table=table)
    scale, shift = np.full(1, 0.01, np.float32), np.full(1, 1e-42, np.float32)
    x = builder.add("affine", x, scale=scale, shift=shift)
    x = builder.add("linear_f32", x, weight=np.full((2, 12), 0.5, np.float32))
    graph = builder.build(x)
    images = np.random.default_rng(0).integers(0, 256, (4, 4, 3, 1), dtype=np.uint8)
    wanted = run_reference(graph, images)
    assert np.any(wanted != 0)
    try:
        if not torch.set_flush_denormal(True):
            pytest.skip("this machine cannot flush")
        for threads in (1, 3):
            with opened(threads, data=dumps(graph)) as (model, context):
                found = model.run(context, images, 2)[1]
                flushes = bool(np.float32(1e-38) * np.float32(0.1) == 0)
                assert found.tobytes() == wanted.tobytes()
                assert flushes
    finally:
        torch.set_flush_denormal(False)


def test_the_library_exports_the_header_alone() -> None:
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("no nm")
    library = _native.library()._name
    listing = subprocess.run([nm, "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    assert {line.split()[-1] for line in listing.splitlines()} == set(_native._SIGNATURES)
