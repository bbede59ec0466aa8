"""Import numba's front end without the rest of numba.

`import numba` loads its decorators, NumPy support, parallel loops and typed containers: twice the time of what kernels
need, which is bytecode analysis and type inference. So the package is put in place first without running its
`__init__`; that runs when something asks the package for a name that its submodules do not have, as `numba.njit`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from types import ModuleType
from typing import Any

LOCK = threading.RLock()


class DeferredPackage(ModuleType):
    """numba with its `__init__` not run yet."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if name == "prange":  # numba's own submodules ask the package for this one
            return importlib.import_module("numba.misc.special").prange
        if importlib.util.find_spec(f"{self.__name__}.{name}") is not None:
            return importlib.import_module(f"{self.__name__}.{name}")
        with LOCK:
            if type(self) is DeferredPackage:
                self.__class__ = ModuleType  # type: ignore[assignment]
                assert self.__spec__ is not None
                assert self.__spec__.loader is not None
                self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def prepare() -> None:
    """Make `from numba.core import …` cheap, unless numba is loaded already.

    Raises ModuleNotFoundError if numba is not installed.
    """
    with LOCK:
        if "numba" in sys.modules:
            return
        spec = importlib.util.find_spec("numba")
        if spec is None:
            raise ModuleNotFoundError("numba is needed to compile kernels", name="numba")
        package = importlib.util.module_from_spec(spec)
        package.__class__ = DeferredPackage
        sys.modules["numba"] = package
        version: dict[str, str] = importlib.import_module("numba._version").get_versions()
        package.__version__ = version["version"]  # type: ignore[attr-defined]
        for name in ("types", "bytecode", "interpreter", "typeinfer"):
            importlib.import_module(f"numba.core.{name}")
