"""What is asked of the CUDA driver, and what its refusals become; the driver is a stub."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import flowc as tf
from flowc.codegen.cuda.target import Assembler
from flowc.codegen.plan import Kernel
from flowc.runtime import doctor, run_errors
from flowc.runtime.cuda import driver_library, native_driver
from flowc.runtime.cuda.driver import DeviceMemoryError, DriverError, MismatchError
from flowc.runtime.cuda.driver_library import chain_problem
from flowc.runtime.cuda.native_driver import NativeGpu, native_gpus
from flowc.runtime.cuda.vendor_libraries import Installed, using_libraries
from tests.gpu.stub_driver import StubDriver, driven_by

CUBIN = b"\x7fELF"
PTX = b".version 7.8\n.target sm_90\n"


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubDriver]:
    found = StubDriver()
    with driven_by(found, monkeypatch):
        yield found


@pytest.fixture
def gpu(stub: StubDriver) -> NativeGpu:
    (found,) = native_gpus()
    found.enter()
    return found


def with_assembler(monkeypatch: pytest.MonkeyPatch, toolkit: str) -> None:
    """This is the toolkit that is found."""
    for module in (driver_library, "flowc.codegen.cuda.target"):
        name = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{name}.assembler", lambda: Assembler("/opt/bin/ptxas", toolkit, f"{toolkit}.1"))


def test_a_replay_is_two_calls(stub: StubDriver, gpu: NativeGpu) -> None:
    gpu.begin_capture()
    replay = gpu.replay(gpu.end_capture())
    stub.calls.clear()
    for _ in range(3):
        replay()
    assert stub.calls == ["cuGraphLaunch", "cuStreamSynchronize"] * 3
    stub.codes["cuStreamSynchronize"] = 700
    with pytest.raises(DriverError, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
        replay()


def test_gpus_that_are_too_old_have_no_number(stub: StubDriver) -> None:
    stub.capabilities = (6, 1), (8, 0), (9, 0)
    found = native_gpus()
    assert [(gpu.info.index, gpu.info.ordinal, gpu.info.name) for gpu in found] == [(0, 1, "Stub 1"), (1, 2, "Stub 2")]
    assert (found[1].holds(2 << 48), found[1].holds(1 << 48)) == (True, False)
    stub.codes["cuPointerGetAttribute"] = 1  # memory that it does not know
    assert not found[1].holds(2 << 48)


def test_nothing_is_given_back_within_a_capture(stub: StubDriver, gpu: NativeGpu) -> None:
    """The collector of garbage may come at any time; what it frees would spoil the capture."""
    address = gpu.allocate(64)
    gpu.begin_capture()
    gpu.free(address)
    assert "cuMemFree_v2" not in stub.calls
    gpu.end_capture()
    assert stub.calls[-1] == "cuMemFree_v2"


def test_another_stream_is_waited_for_by_an_event(stub: StubDriver, gpu: NativeGpu) -> None:
    stub.calls.clear()
    gpu.wait_for(7)
    assert stub.calls == ["cuEventRecord", "cuStreamWaitEvent"]


def test_memory_that_there_is_not(stub: StubDriver, gpu: NativeGpu) -> None:
    stub.codes |= {"cuMemAlloc_v2": 2, "cuMemHostAlloc": 2}
    with pytest.raises(DeviceMemoryError, match="the GPU has not so much memory free"):
        gpu.allocate(64)
    with pytest.raises(DeviceMemoryError, match="the host has not so much memory to pin"):
        gpu.pinned(64)


# -- versions that do not fit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("image", "code", "made", "fix"), [
    (PTX, 222, "the kernel is PTX 7.8", "or CUDA's ptxas"),
    (CUBIN, 209, "the kernel was made by ptxas of CUDA 13.0", r"or name a ptxas of CUDA 11\.4 by \$FLOWC_PTXAS"),
])  # fmt: skip
def test_a_mismatch_names_both_versions_and_what_to_do(
    stub: StubDriver, gpu: NativeGpu, monkeypatch: pytest.MonkeyPatch, image: bytes, code: int, made: str, fix: str
) -> None:
    with_assembler(monkeypatch, "13.0")
    stub.version = 11040
    stub.codes["cuModuleLoadData"] = code
    expected = rf"{made} and the driver knows CUDA 11\.4: install a newer driver, {fix}"
    with pytest.raises(MismatchError, match=expected) as caught:
        gpu.load(image, Kernel("k", ""))
    with tf.Graph().as_default() as graph:
        public = run_errors.of_gpu(graph, None, gpu.info, caught.value)  # type: ignore[arg-type]
    assert isinstance(public, tf.errors.FailedPreconditionError)
    assert public.message.startswith("/gpu:0 (Stub 0, compute capability 9.0): cuModuleLoadData")


def test_a_driver_that_does_not_start(stub: StubDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    for code, text in ((100, "CUDA_VISIBLE_DEVICES"), (803, "kernel module 570.1, library 560.2: restart")):
        driver_library.library.cache_clear()
        native_gpus.cache_clear()
        stub.codes["cuInit"] = code
        monkeypatch.setattr(driver_library, "driver_parts", lambda: {"kernel module": "570.1", "library": "560.2"})
        assert text in chain_problem()
        assert native_gpus() == ()


def test_a_driver_that_is_too_old(stub: StubDriver) -> None:
    stub.version = 11020
    assert chain_problem() == "the driver knows CUDA 11.2 and flowc needs 11.4: install a newer driver"
    assert native_gpus() == ()


# -- the doctor --------------------------------------------------------------------------------------------------------


def test_the_doctor_shows_the_chain(stub: StubDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    stub.capabilities = (6, 1), (9, 0)
    with_assembler(monkeypatch, "13.0")
    required = ["nvidia-cublas>=13; extra == 'cuda'", "numpy>=2", "Pillow; extra == 'image'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: required)
    with using_libraries(Installed(no_blas="cuBLASLt is not installed: pip install …", no_dnn="no cuDNN")):
        found = [(finding.topic, finding.text, finding.problem) for finding in doctor._gpu()]
    assert found == [
        ("gpu", "/gpu:0 Stub 1, compute capability 9.0, 80 GB", None),
        ("gpu", "Stub 0, not used", "its compute capability is 6.1, and flowc needs 7.0 or newer"),
        ("driver", "knows CUDA 12.8", None),
        ("ptxas", "13.0.1, of CUDA 13.0, at /opt/bin/ptxas", (
            "ptxas is of CUDA 13.0 and the driver knows CUDA 12.8: install a driver for CUDA 13.0, or name a ptxas of "
            "CUDA 12.8 by $FLOWC_PTXAS"
        )),
        ("cublaslt", "cuBLASLt is not installed: pip install …", None),
        ("cudnn", "no cuDNN", None),
        ("flowc[cuda]", "nvidia-cublas not installed", None),
    ]  # fmt: skip


def test_the_doctor_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(self: object) -> None:
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(driver_library.Library, "__init__", absent)
    driver_library.library.cache_clear()
    native_driver.native_gpus.cache_clear()
    topics = {finding.topic: finding.text for finding in doctor.examine()}
    assert (topics["gpu"], topics["driver"]) == ("none found", "none")
    assert "ptxas" in topics
