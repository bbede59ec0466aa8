"""Plans as bytes: what goes in comes out, and damage anywhere is refused before anything is used."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowc.codegen.cpu.target import Target
from flowc.codegen.plan import ErrorSite, FetchSpec, Kernel, Plan, Space, TensorSpec, VariableSpec
from flowc.framework.errors import DataLossError
from flowc.runtime import plan_file
from flowc.runtime.buffers import ALIGNMENT, address_of
from flowc.runtime.plan_file import FORMAT_VERSION, PlanFile, decode, encode, read_plan_file, write_plan_file


def strings(*items: bytes) -> np.ndarray[Any, Any]:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def sample_plan() -> Plan:
    """A plan with something in every field."""
    return Plan(
        feeds=(TensorSpec("x:0", "float32", (2, 3)),),
        fetches=(FetchSpec("y:0", "float32", (2, 3)), FetchSpec("s:0", "string", (2,), "constant", 1)),
        variables=(VariableSpec("W", "float64", (), reads=False, writes=True),),
        constants=(np.arange(6, dtype=np.complex64).reshape(2, 3), strings(b"Hello", b"\x00\xff"), np.array(True)),
        kernels=(Kernel("k_ü", "def k_ü(args, lo, hi):\n    pass\n"),),
        entries=np.array([[0, 1, 6, 2, 0, 48]]),
        words=np.array([0, 1, 2, 3, 4, 1]),
        relocations=np.array(
            [
                [1, Space.FEED, 0],
                [2, Space.FETCH, 0],
                [3, Space.CONSTANT, 2],
                [4, Space.STATE, 1],
                [5, Space.TAPE, 0],
            ]
        ),
        arena_size=128,
        region_rows=1,
        stacks=2,
        state_words=2,
        state_keys=("r/key", "r/count"),
        symbols=("cblas_sgemm",),
        errors=(ErrorSite("gather", "InvalidArgumentError", "index {0}"),),
        labels=("mul + add",),
        explanation={"steps": [{"ops": ["mul"]}], "launches": [0]},
    )


def sample_file() -> PlanFile:
    return PlanFile(
        sample_plan(),
        Target("x86_64-linux-gnu", "cpu", "+avx2"),
        {"a" * 64: b"\x7fELF object code"},
        {"W": np.array(1.5), "empty": np.zeros((0, 3), np.float32)},
        {"n:0": np.array([3, 4], np.int32)},
        {"structure": [0, None, {"a": 1}]},
    )


def assert_same(left: Any, right: Any) -> None:
    if isinstance(left, np.ndarray):
        assert (left.dtype, left.shape) == (right.dtype, right.shape)
        assert left.tolist() == right.tolist()
    elif isinstance(left, tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right


def test_every_field_survives() -> None:
    file = sample_file()
    result = decode(encode(file))
    for field in fields(Plan):
        value = getattr(file.plan, field.name)
        assert value.size if isinstance(value, np.ndarray) else value, f"the sample has nothing in {field.name}"
        assert_same(value, getattr(result.plan, field.name))
    assert (result.target, result.objects, result.extra) == (file.target, file.objects, file.extra)
    for name in ("variables", "feed_values"):
        assert_same(tuple(getattr(file, name).items()), tuple(getattr(result, name).items()))


def test_arrays_are_aligned_and_read_only() -> None:
    plan = decode(encode(PlanFile(sample_plan()))).plan
    for array in (plan.entries, plan.words, plan.relocations, plan.constants[0]):
        assert address_of(array) % ALIGNMENT == 0
        assert not array.flags.writeable


def test_the_same_plan_makes_the_same_bytes() -> None:
    assert encode(sample_file()) == encode(sample_file())


def test_damage_anywhere_is_refused() -> None:
    content = encode(sample_file())
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(DataLossError, match="Nothing of it was run"):
            decode(bytes(damaged))


def test_truncation_anywhere_is_refused() -> None:
    content = encode(sample_file())
    for length in range(0, len(content), 3):
        with pytest.raises(DataLossError, match="truncated"):
            decode(content[:length])
    with pytest.raises(DataLossError, match="appended"):
        decode(content + b"\0")


def test_messages_say_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(encode(sample_file()))
    with pytest.raises(DataLossError, match=r"m\.flowc cannot be used: it is not a flowc plan"):
        decode(b"PK\x03\x04" + bytes(200), "m.flowc")
    content[-1] ^= 1
    with pytest.raises(DataLossError, match=r"checksum does not match.*Copy it again, or compile and save it anew"):
        decode(content)
    monkeypatch.setattr(plan_file, "FORMAT_VERSION", FORMAT_VERSION + 1)
    newer = encode(sample_file())
    monkeypatch.undo()
    with pytest.raises(DataLossError, match=f"version {FORMAT_VERSION + 1} and this flowc reads version"):
        decode(newer)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entries": np.array([[1, 1, 6, 2, 0, 48]])}, "a launch's kernel is out of range"),
        ({"entries": np.array([[0, 9, 6, 2, 0, 48]])}, "a launch's arguments is out of range"),
        ({"entries": np.array([[0, 9]])}, "the tape has another form"),
        ({"words": np.arange(6, dtype=np.int32)}, "the tape is not of int64"),
        ({"relocations": np.array([[6, 0, 0]])}, "a relocation is out of range"),
        ({"relocations": np.array([[0, len(Space), 0]])}, "a relocation's space is out of range"),
        ({"relocations": np.array([[4, Space.TAPE, 0]])}, "a row is out of range"),
        ({"region_rows": 2}, "the rows of regions is out of range"),
        ({"relocations": np.array([[0, Space.VARIABLE, 1]])}, "a relocation to a VARIABLE is out of range"),
        ({"fetches": (FetchSpec("s:0", "string", (), "constant", 3),)}, "a fetch is out of range"),
        ({"arena_size": -1}, "the arena"),
    ],
)
def test_what_another_program_wrote_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataLossError, match=message):
        decode(encode(PlanFile(replace(sample_plan(), **change))))


def test_arrays_outside_of_the_file_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    dumps = json.dumps

    def with_blob(header: dict[str, Any], blob: list[Any]) -> str:
        return dumps(header | {"blobs": [blob, *header["blobs"][1:]]})

    for blob in (["<i8", [1, 6], 1 << 40, 48], ["<i8", [1, 6], -64, 48], ["|O", [1, 6], 0, 48], ["string", [1], 0, 48]):
        monkeypatch.setattr(plan_file.json, "dumps", lambda header, blob=blob, **_: with_blob(header, blob))
        content = encode(sample_file())
        with pytest.raises(DataLossError, match="makes no sense"):
            decode(content)


def test_files_appear_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.flowc"
    write_plan_file(path, sample_file())
    assert_same(read_plan_file(path).plan.constants, sample_plan().constants)
    with pytest.raises(TypeError):
        write_plan_file(path, replace(sample_file(), extra={"not": object()}))
    assert [item.name for item in tmp_path.iterdir()] == ["model.flowc"]
    assert read_plan_file(path).extra == sample_file().extra
    with pytest.raises(FileNotFoundError):
        read_plan_file(tmp_path / "absent")
