"""NVIDIA's libraries on this machine, and a plan's calls of them.

A call is bound once: the library chooses its algorithm then, and says how much memory it needs to work in. It is asked
for with real addresses when the plan is launched and when it is captured; replaying asks nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from math import gcd
from typing import Any, Final, TypeVar

from flowc import logging
from flowc.codegen.cuda.library_words import CONVOLUTIONS, PRODUCT, ConvWords, ProductWords, is_library_call
from flowc.codegen.cuda.vendor import Feature, Vendor
from flowc.codegen.plan import Column, Plan, Space
from flowc.framework.config import Precision
from flowc.framework.debug import debug_level, say
from flowc.runtime.cuda.cublaslt import CublasLt, Product
from flowc.runtime.cuda.cudnn import Convolution, Cudnn, FilterGradient, Forward, ImageGradient
from flowc.runtime.cuda.driver import DriverError, Gpu
from flowc.runtime.cuda.driver_library import chain_problem, driver_version
from flowc.runtime.cuda.vendor_files import CUBLAS, CUBLASLT, CUDNN, load

_Library = TypeVar("_Library")
_BLOCK_ALIGNMENT: Final = 256  # of the spaces that addresses point into
_CONVOLUTIONS: Final[dict[str, type[Convolution]]] = {
    CONVOLUTIONS["library_conv"].name: Forward,
    CONVOLUTIONS["library_conv_image"].name: ImageGradient,
    CONVOLUTIONS["library_conv_filter"].name: FilterGradient,
}


class LibraryRefusal(Exception):
    """A library cannot do what a plan asks of it: the plan is to be made without it."""

    def __init__(self, feature: Feature, why: str) -> None:
        super().__init__(f"without {feature}: {why}")
        self.feature, self.why = feature, why

    def tell(self) -> None:
        """Warns of a plan that becomes slower. Epilogues are kernels then, which cost little more."""
        if self.feature in ("cuBLASLt", "cuDNN"):
            logging.warn("A plan is made %s. Generated kernels take its place, and may be slower.", self)
        elif debug_level() >= 1:
            say(f"a plan is made {self}")


# -- what is installed -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Installed:
    """The libraries; None, and why, for those that are not to be had."""

    blas: CublasLt | None = None
    dnn: Cudnn | None = None
    no_blas: str = ""
    no_dnn: str = ""

    def vendor(self, precision: Precision) -> Vendor:
        """The same, for the compiler."""
        blas, dnn = (library.version if library is not None else "" for library in (self.blas, self.dnn))
        return Vendor(blas, dnn, self.no_blas, self.no_dnn, precision)


@cache
def _found() -> Installed:
    problem = chain_problem()
    if problem:
        return Installed(no_blas=problem, no_dnn=problem)
    newest = driver_version()
    blas, no_blas = _loaded(lambda: CublasLt(load(CUBLASLT, newest)))
    if blas is not None:
        _loaded(lambda: load(CUBLAS, newest))  # where cuDNN looks for it
    dnn, no_dnn = _loaded(lambda: Cudnn(load(CUDNN, newest)))
    return Installed(blas, dnn, no_blas, no_dnn)


def _loaded(make: Callable[[], _Library]) -> tuple[_Library | None, str]:
    """What `make` loads, or why it is not to be had."""
    try:
        return make(), ""
    except (OSError, AttributeError) as error:
        return None, str(error)


_source: list[Callable[[], Installed]] = [_found]


def installed() -> Installed:
    """The libraries of this machine, loaded when they are asked for first."""
    return _source[-1]()


@contextmanager
def using_libraries(libraries: Installed) -> Iterator[None]:
    """In the with-block, these are the libraries there are: for tests without them."""
    _source.append(lambda: libraries)
    try:
        yield
    finally:
        _source.pop()


# -- a plan's calls ----------------------------------------------------------------------------------------------------


class LibraryCalls:
    """The launches of a plan that libraries do. `workspace`: the bytes that one of them needs at a time."""

    def __init__(self, plan: Plan, gpu: Gpu) -> None:
        """Raises LibraryRefusal where a library has no algorithm for a call."""
        self._calls: dict[int, tuple[Product | Convolution, type[Any], int]] = {}  # by launch; words: their kind, place
        if not any(map(is_library_call, plan.kernels)):
            self.workspace = 0
            return
        words = _stand_ins(plan)
        for number, entry in enumerate(plan.entries.tolist()):
            kernel, start = plan.kernels[entry[Column.KERNEL]], entry[Column.ARGS]
            if is_library_call(kernel):
                kind = ProductWords if kernel == PRODUCT else ConvWords
                self._calls[number] = _bound(gpu, kernel.name, _taken(kind, words, start)), kind, start
        self.workspace = max(call.workspace for call, _, _ in self._calls.values())

    def __contains__(self, number: int) -> bool:
        return number in self._calls

    def __bool__(self) -> bool:
        return bool(self._calls)

    def launch(self, number: int, words: Sequence[int], workspace: int) -> None:
        """Asks for launch `number` of the plan, whose argument blocks are `words`."""
        call, kind, start = self._calls[number]
        call.launch(_taken(kind, words, start), workspace)


def _taken(kind: type[Any], words: Sequence[int], start: int) -> Any:
    return kind(*words[start : start + len(kind._fields)])


def _stand_ins(plan: Plan) -> list[int]:
    """The words of all argument blocks, with addresses that are aligned as the real ones will be, and not 0."""
    words: list[int] = plan.words.tolist()
    for word, space, _ in plan.relocations.tolist():
        if space == Space.STATE:  # no call of a library reads those
            continue
        words[word] = gcd(words[word], _BLOCK_ALIGNMENT)
    return words


def _bound(gpu: Gpu, name: str, words: Any) -> Product | Convolution:
    libraries = installed()
    try:
        if isinstance(words, ProductWords):
            assert libraries.blas is not None, "the plan was made where cuBLASLt is installed"
            return Product(libraries.blas, gpu, words)
        assert libraries.dnn is not None, "the plan was made where cuDNN is installed"
        return _CONVOLUTIONS[name](libraries.dnn, gpu, words)
    except DriverError as error:
        raise LibraryRefusal(_refused(words), str(error)) from None


def _refused(words: ProductWords | ConvWords) -> Feature:
    """What a plan must do without if there is no algorithm for a call."""
    if isinstance(words, ConvWords):
        return "cuDNN"
    if words.mask or words.bias_gradient:
        return "gradient epilogues"
    return "epilogues" if words.bias or words.relu else "cuBLASLt"
