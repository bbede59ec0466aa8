"""What flowc knows of cuBLASLt and cuDNN, against their headers and the libraries, where these are installed."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flowc.codegen.cuda.library_words import ConvWords, ProductWords
from flowc.framework.dtypes import complex64, complex128, float16, float32, float64
from flowc.runtime.cuda import cublaslt, cudnn, vendor_files
from flowc.runtime.cuda.vendor_libraries import Installed

NEWEST = 13000  # the CUDA that libraries are looked for
COMPILER = shutil.which("cc")

# what the headers call it → what flowc takes it for
CUBLASLT: dict[str, int] = {
    "CUDA_R_16F": cublaslt._TYPES[float16][0],
    "CUDA_R_32F": cublaslt._TYPES[float32][0],
    "CUDA_R_64F": cublaslt._TYPES[float64][0],
    "CUDA_C_32F": cublaslt._TYPES[complex64][0],
    "CUDA_C_64F": cublaslt._TYPES[complex128][0],
    "CUBLAS_COMPUTE_32F": cublaslt._FAST["float32"],
    "CUBLAS_COMPUTE_32F_FAST_TF32": cublaslt._FAST["tf32"],
    "CUBLAS_COMPUTE_32F_FAST_16BF": cublaslt._FAST["bfloat16"],
    "CUBLAS_COMPUTE_64F": cublaslt._TYPES[float64][1],
    "CUBLAS_OP_N": 0,
    "CUBLAS_OP_T": cublaslt._TRANSPOSED,
    "CUBLASLT_MATMUL_DESC_TRANSA": cublaslt._TRANSA,
    "CUBLASLT_MATMUL_DESC_TRANSB": cublaslt._TRANSB,
    "CUBLASLT_MATMUL_DESC_EPILOGUE": cublaslt._EPILOGUE,
    "CUBLASLT_MATMUL_DESC_BIAS_POINTER": cublaslt._BIAS_POINTER,
    "CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER": cublaslt._AUX_POINTER,
    "CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD": cublaslt._AUX_LD,
    "CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT": cublaslt._BATCH_COUNT,
    "CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET": cublaslt._BATCH_STEP,
    "CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES": cublaslt._MAX_WORKSPACE,
    **{f"CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_{m}_BYTES": n for m, n in zip("ABCD", cublaslt._ALIGNMENTS, strict=True)},
    "CUBLASLT_EPILOGUE_DEFAULT": cublaslt._DEFAULT,
    "CUBLASLT_EPILOGUE_RELU_BIAS": cublaslt._RELU | cublaslt._BIAS,
    "CUBLASLT_EPILOGUE_RELU_AUX_BIAS": cublaslt._RELU | cublaslt._MASK | cublaslt._BIAS,
    "CUBLASLT_EPILOGUE_DRELU": cublaslt._RELU_GRADIENT | cublaslt._MASK,
    "CUBLASLT_EPILOGUE_BGRADA": cublaslt._SUMS_OF_A,
    "sizeof(cublasLtMatmulAlgo_t)": ctypes.sizeof(cublaslt.Algorithm),
    "sizeof(cublasLtMatmulHeuristicResult_t)": ctypes.sizeof(cublaslt.HeuristicResult),
    "offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize)": cublaslt.HeuristicResult.workspace.offset,
    "offsetof(cublasLtMatmulHeuristicResult_t, state)": cublaslt.HeuristicResult.state.offset,
    "offsetof(cublasLtMatmulHeuristicResult_t, wavesCount)": cublaslt.HeuristicResult.waves.offset,
}
PERFORMANCES = (
    "cudnnConvolutionFwdAlgoPerf_t",
    "cudnnConvolutionBwdDataAlgoPerf_t",
    "cudnnConvolutionBwdFilterAlgoPerf_t",
)
CUDNN: dict[str, int] = {
    "CUDNN_TENSOR_NHWC": cudnn._NHWC,
    "CUDNN_CROSS_CORRELATION": cudnn._CROSS_CORRELATION,
    "CUDNN_DATA_FLOAT": cudnn._TYPES[float32],
    "CUDNN_DATA_DOUBLE": cudnn._TYPES[float64],
    "CUDNN_DEFAULT_MATH": cudnn._TF32,
    "CUDNN_FMA_MATH": cudnn._STRICT,
    "CUDNN_TENSOR_OP_MATH": cudnn._TENSOR_CORES[0],
    "CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION": cudnn._TENSOR_CORES[1],
    "CUDNN_DETERMINISTIC": cudnn._DETERMINISTIC,
    "CUDNN_CONVOLUTION_FWD_ALGO_COUNT": cudnn._PROPOSALS,
    **{f"sizeof({name})": ctypes.sizeof(cudnn.Proposal) for name in PERFORMANCES},
    **{
        f"offsetof({name}, {theirs})": getattr(cudnn.Proposal, ours).offset
        for name in PERFORMANCES
        for theirs, ours in (
            ("status", "status"),
            ("memory", "memory"),
            ("determinism", "determinism"),
            ("mathType", "math"),
        )
    },
}


def folders() -> list[Path]:
    """Where headers may be."""
    homes = [Path(os.environ[name]) / "include" for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    wheels = [place / folder for place in vendor_files._wheels() for folder in ("cu13/include", "cudnn/include")]
    wheels += [
        place / part / "include" for place in vendor_files._wheels() for part in ("cublas", "cuda_runtime", "cuda_nvcc")
    ]
    return [folder for folder in (*wheels, *homes) if folder.is_dir()]


@pytest.mark.parametrize(("header", "known"), [("cublasLt.h", CUBLASLT), ("cudnn.h", CUDNN)])
def test_numbers_are_those_of_the_headers(header: str, known: dict[str, int], tmp_path: Path) -> None:
    if COMPILER is None:
        pytest.skip("there is no C compiler")
    for needed in (header, "cuda_runtime_api.h", "crt/host_defines.h"):
        if not any((folder / needed).is_file() for folder in folders()):
            pytest.skip(f"there is no {needed}, which pip install 'flowc[cuda]' brings")
    checks = "".join(f'_Static_assert({theirs} == {ours}, "{theirs}");\n' for theirs, ours in known.items())
    (tmp_path / "nv").mkdir()
    (tmp_path / "nv" / "target").touch()  # what the headers include for C++ only, and another wheel has
    (tmp_path / "check.c").write_text(f"#include <stddef.h>\n#include <{header}>\n{checks}")
    includes = [f"-I{folder}" for folder in (*folders(), tmp_path)]
    done = subprocess.run(
        [COMPILER, "-w", "-fsyntax-only", *includes, str(tmp_path / "check.c")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[:3000]


# -- the libraries themselves: descriptors need no GPU -----------------------------------------------------------------


def library(file: vendor_files.LibraryFile) -> Any:
    try:
        return vendor_files.load(file, NEWEST)
    except OSError as error:
        pytest.skip(str(error))


def test_cublaslt_takes_our_descriptors() -> None:
    blas = cublaslt.CublasLt(library(vendor_files.CUBLASLT))
    words = ProductWords(
        result=256, left=256, right=256, bias=256, mask=256, dtype=float32._enum, precision=1, batch=2, m=3, n=5, k=7,
        left_transposed=1, right_transposed=0, left_stride=3, right_stride=6, left_step=21, right_step=42, alpha=0,
        added=0, relu=1, relu_gradient=0, bias_gradient=0, mask_bits=128,
    )  # fmt: skip
    described = cublaslt._described(blas, words)

    def told(kind: str, descriptor: Any, attribute: int, number: Any) -> int:
        value, size = number(), ctypes.c_size_t()
        place = ctypes.byref(value), ctypes.c_size_t(ctypes.sizeof(value)), ctypes.byref(size)
        blas(f"cublasLt{kind}GetAttribute", descriptor, attribute, *place)
        return int(value.value)

    product = [told("MatmulDesc", described.product, attribute, ctypes.c_int32) for attribute in (0, 1, 3, 4, 7)]
    assert product == [77, 0, 0, 1, 134]
    sizes = (2, ctypes.c_uint64), (3, ctypes.c_uint64), (4, ctypes.c_int64), (5, ctypes.c_int32), (6, ctypes.c_int64)
    layouts = [
        [told("MatrixLayout", layout, *size) for size in sizes] for layout in (described.a, described.b, described.d)
    ]
    assert layouts == [[5, 7, 6, 2, 42], [3, 7, 3, 2, 21], [5, 3, 5, 2, 15]]
    described.give_back()


def test_cudnn_takes_our_descriptors() -> None:
    dnn = cudnn.Cudnn(library(vendor_files.CUDNN))
    words = ConvWords(
        image=1, filter=1, result=1, dtype=float32._enum, precision=0, batch=2, height=9, width=10, channels=3, rows=3,
        columns=2, filters=8, down=2, across=1, above=1, aside=0, result_rows=5, result_columns=9,
    )  # fmt: skip
    described = cudnn._described(dnn, words)
    sizes = [ctypes.c_int() for _ in range(4)]
    descriptors = described.convolution, described.image, described.filter
    dnn("cudnnGetConvolution2dForwardOutputDim", *descriptors, *map(ctypes.byref, sizes))
    assert [size.value for size in sizes] == [2, 8, 5, 9]
    described.give_back()


# -- what is missing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cuda", "fix"),
    [
        (13000, r"-m pip install 'flowc\[cuda\]'$"),
        (12080, r"-m pip install 'flowc\[cuda12\]'$"),
        (11080, r"install a driver that knows CUDA 12 or newer, then \S+ -m pip install 'flowc\[cuda12\]'$"),
    ],
)
def test_what_is_missing_is_named_with_the_fix(cuda: int, fix: str) -> None:
    nowhere = vendor_files.LibraryFile("cuBLASLt", {13: ("libnowhere.so.13", "x"), 12: ("libnowhere.so.12", "x")})
    with pytest.raises(OSError, match=f"cuBLASLt is not installed: .*{fix}"):
        vendor_files.load(nowhere, cuda)


def test_a_library_that_does_not_load_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libbroken.so").write_text("no library")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    broken = vendor_files.LibraryFile("cuDNN", {13: ("libbroken.so", "x")})
    with pytest.raises(OSError, match=r"cuDNN does not load \(.*libbroken\.so.*\): .* -m pip install"):
        vendor_files.load(broken, NEWEST)


def test_libraries_of_a_newer_cuda_than_the_driver_are_left_alone() -> None:
    assert [Path(path).name for path in vendor_files._candidates(vendor_files.CUBLASLT, 12)][-1] == "libcublasLt.so.12"
    assert not any(path.endswith(".13") for path in vendor_files._candidates(vendor_files.CUBLASLT, 12))


def test_the_compiler_is_told_what_is_missing() -> None:
    nothing = Installed(no_blas="no cuBLASLt: install it", no_dnn="no cuDNN: install it").vendor("tf32")
    assert (nothing.blas, nothing.no_blas) == ("", "no cuBLASLt: install it")
    assert (nothing.dnn, nothing.no_dnn) == ("", "no cuDNN: install it")
    assert nothing.precision == "tf32"
