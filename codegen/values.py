"""Writing a kernel's statements: values have names, complex ones a pair of names (real, imaginary).

Complex arithmetic is spelled out in real primitives here, so that targets need none of their own.
"""

from __future__ import annotations

from typing import Final

from flowc.codegen.cpu import primitives
from flowc.framework.dtypes import DType, bool_, float32, float64
from flowc.framework.errors import UnimplementedError

Value = tuple[str, ...]  # one name, or (real, imaginary)

REAL_OF: Final = {"complex64": float32, "complex128": float64}


def real_dtype(dtype: DType) -> DType:
    """The type of a complex number's parts; a real type itself."""
    return REAL_OF.get(dtype.name, dtype)


class Writer:
    """Lines of kernel source under construction, with indentation and fresh names."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 1
        self.cost = 0.0  # of what is written now, in cycles an element; the renderer reads and resets it
        self._names = 0

    def line(self, text: str) -> None:
        """Adds a line."""
        self.lines.append("    " * self.depth + text)

    def assign(self, expression: str) -> str:
        """Adds `v<n> = expression` and returns the name."""
        name = f"v{self._names}"
        self._names += 1
        self.line(f"{name} = {expression}")
        return name

    def real(self, primitive: str, dtype: DType, *args: str) -> str:
        """A primitive of real arguments."""
        try:
            expression = primitives.spell(primitive, dtype.name, list(args))
        except KeyError:
            message = f"There is no kernel for {primitive!r} of {dtype.name} values."
            raise UnimplementedError(None, None, message) from None
        self.cost += primitives.cost(primitive, dtype.name)
        return self.assign(expression)

    def cast(self, source: DType, target: DType, value: Value) -> Value:
        """A conversion; the imaginary part is dropped or zero where only one side is complex."""
        self.cost += 1
        to, of = real_dtype(target), real_dtype(source)
        parts = [value[0]] if not target.is_complex else list(value)
        cast = [p if to is of else self.assign(primitives.spell_cast(of.name, to.name, p)) for p in parts]
        if target.is_complex and not source.is_complex:
            cast.append(primitives.literal(0, to.name))
        return tuple(cast)

    def primitive(self, name: str, result: DType, dtypes: list[DType], args: list[Value]) -> Value:
        """Any primitive of a map node: its result's type, its arguments' types and values."""
        if name == "copy":
            return args[0]
        if name == "cast":
            return self.cast(dtypes[0], result, args[0])
        if name == "complex":
            return args[0][0], args[1][0]
        kind = dtypes[-1]
        if kind.is_complex:
            return self._complex(name, real_dtype(kind), args)
        return (self.real(name, kind, *(a[0] for a in args)),)

    # -- complex numbers -----------------------------------------------------------------------------------------------

    def _complex(self, name: str, kind: DType, args: list[Value]) -> Value:
        method = getattr(self, f"_complex_{name}", None)
        if method is None:
            raise UnimplementedError(None, None, f"There is no kernel for {name!r} of complex numbers.")
        result: Value = method(kind, *args)
        return result

    def _both(self, name: str, kind: DType, x: Value, y: Value) -> Value:
        return self.real(name, kind, x[0], y[0]), self.real(name, kind, x[1], y[1])

    def _complex_add(self, kind: DType, x: Value, y: Value) -> Value:
        return self._both("add", kind, x, y)

    def _complex_sub(self, kind: DType, x: Value, y: Value) -> Value:
        return self._both("sub", kind, x, y)

    def _complex_mul(self, kind: DType, x: Value, y: Value) -> Value:
        r = self.real
        ac, bd = r("mul", kind, x[0], y[0]), r("mul", kind, x[1], y[1])
        ad, bc = r("mul", kind, x[0], y[1]), r("mul", kind, x[1], y[0])
        return r("sub", kind, ac, bd), r("add", kind, ad, bc)

    def _complex_div(self, kind: DType, x: Value, y: Value) -> Value:
        """Smith's method: scaled by the larger part of the divisor, so that squares do not overflow."""
        r = self.real
        wide = r("ge", kind, r("abs", kind, y[0]), r("abs", kind, y[1]))
        big, small = r("select", kind, wide, y[0], y[1]), r("select", kind, wide, y[1], y[0])
        ratio = r("div", kind, small, big)
        scale = r("add", kind, big, r("mul", kind, small, ratio))
        near, far = r("select", kind, wide, x[0], x[1]), r("select", kind, wide, x[1], x[0])
        real = r("div", kind, r("add", kind, near, r("mul", kind, far, ratio)), scale)
        cross = r("sub", kind, far, r("mul", kind, near, ratio))
        imag = r("div", kind, r("select", kind, wide, cross, r("neg", kind, cross)), scale)
        return real, imag

    def _complex_neg(self, kind: DType, x: Value) -> Value:
        return self.real("neg", kind, x[0]), self.real("neg", kind, x[1])

    def _complex_conj(self, kind: DType, x: Value) -> Value:
        return x[0], self.real("neg", kind, x[1])

    def _complex_real(self, kind: DType, x: Value) -> Value:
        return (x[0],)

    def _complex_imag(self, kind: DType, x: Value) -> Value:
        return (x[1],)

    def _complex_complex_abs(self, kind: DType, x: Value) -> Value:
        """√(re² + im²), both scaled by a power of two where their squares would overflow or vanish."""
        r = self.real

        def literal(value: float) -> str:
            return primitives.literal(value, kind.name)

        high, low, scale = (2.0**60, 2.0**-40, 2.0**80) if kind is float32 else (2.0**500, 2.0**-400, 2.0**600)
        a, b = r("abs", kind, x[0]), r("abs", kind, x[1])
        large = r("or", bool_, r("gt", kind, a, literal(high)), r("gt", kind, b, literal(high)))
        tiny = r("and", bool_, r("lt", kind, a, literal(low)), r("lt", kind, b, literal(low)))
        down = r("select", kind, tiny, literal(scale), r("select", kind, large, literal(1 / scale), literal(1)))
        up = r("select", kind, tiny, literal(1 / scale), r("select", kind, large, literal(scale), literal(1)))
        c, d = r("mul", kind, a, down), r("mul", kind, b, down)
        length = r("mul", kind, r("sqrt", kind, r("add", kind, r("mul", kind, c, c), r("mul", kind, d, d))), up)
        infinite = r("or", bool_, r("isinf", kind, a), r("isinf", kind, b))
        return (r("select", kind, infinite, literal(float("inf")), length),)

    def _complex_abs(self, kind: DType, x: Value) -> Value:
        return self._complex_complex_abs(kind, x)

    def _complex_reciprocal(self, kind: DType, x: Value) -> Value:
        one, zero = primitives.literal(1, kind.name), primitives.literal(0, kind.name)
        return self._complex_div(kind, (one, zero), x)

    def _complex_exp(self, kind: DType, x: Value) -> Value:
        r = self.real
        size = r("exp", kind, x[0])
        return r("mul", kind, size, r("cos", kind, x[1])), r("mul", kind, size, r("sin", kind, x[1]))

    def _complex_log(self, kind: DType, x: Value) -> Value:
        return self.real("log", kind, self._complex_complex_abs(kind, x)[0]), self.real("atan2", kind, x[1], x[0])

    def _complex_sqrt(self, kind: DType, x: Value) -> Value:
        """The root in the right half-plane."""
        r, half, zero = self.real, primitives.literal(0.5, kind.name), primitives.literal(0, kind.name)
        length = self._complex_complex_abs(kind, x)[0]
        root = r("sqrt", kind, r("mul", kind, half, r("add", kind, length, r("abs", kind, x[0]))))
        twice = r("add", kind, root, root)
        safe = r("select", kind, r("gt", kind, twice, zero), twice, primitives.literal(1, kind.name))
        other = r("div", kind, r("abs", kind, x[1]), safe)
        right = r("ge", kind, x[0], zero)
        real = r("select", kind, right, root, other)
        imag = r("select", kind, right, other, root)
        return real, r("select", kind, r("lt", kind, x[1], zero), r("neg", kind, imag), imag)

    def _complex_rsqrt(self, kind: DType, x: Value) -> Value:
        return self._complex_reciprocal(kind, self._complex_sqrt(kind, x))

    def _hyperbolic(self, kind: DType, x: str) -> tuple[str, str]:
        """(cosh, sinh)"""
        r, half = self.real, primitives.literal(0.5, kind.name)
        up, down = r("exp", kind, x), r("exp", kind, r("neg", kind, x))
        return r("mul", kind, half, r("add", kind, up, down)), r("mul", kind, half, r("sub", kind, up, down))

    def _complex_sin(self, kind: DType, x: Value) -> Value:
        cosh, sinh = self._hyperbolic(kind, x[1])
        real = self.real("mul", kind, self.real("sin", kind, x[0]), cosh)
        return real, self.real("mul", kind, self.real("cos", kind, x[0]), sinh)

    def _complex_cos(self, kind: DType, x: Value) -> Value:
        cosh, sinh = self._hyperbolic(kind, x[1])
        real = self.real("mul", kind, self.real("cos", kind, x[0]), cosh)
        imag = self.real("mul", kind, self.real("sin", kind, x[0]), sinh)
        return real, self.real("neg", kind, imag)

    def _complex_tanh(self, kind: DType, x: Value) -> Value:
        """1 - 2 / (exp(2x) + 1)"""
        one, zero = primitives.literal(1, kind.name), primitives.literal(0, kind.name)
        power = self._complex_exp(kind, self._complex_add(kind, x, x))
        inverse = self._complex_reciprocal(kind, self._complex_add(kind, power, (one, zero)))
        return self._complex_sub(kind, (one, zero), self._complex_add(kind, inverse, inverse))

    def _complex_sigmoid(self, kind: DType, x: Value) -> Value:
        one, zero = primitives.literal(1, kind.name), primitives.literal(0, kind.name)
        power = self._complex_exp(kind, self._complex_neg(kind, x))
        return self._complex_reciprocal(kind, self._complex_add(kind, power, (one, zero)))

    def _complex_pow(self, kind: DType, x: Value, y: Value) -> Value:
        return self._complex_exp(kind, self._complex_mul(kind, y, self._complex_log(kind, x)))

    def _complex_eq(self, kind: DType, x: Value, y: Value) -> Value:
        return (self.real("and", bool_, *self._both("eq", kind, x, y)),)

    def _complex_ne(self, kind: DType, x: Value, y: Value) -> Value:
        return (self.real("or", bool_, *self._both("ne", kind, x, y)),)

    def _complex_select(self, kind: DType, c: Value, x: Value, y: Value) -> Value:
        return self.real("select", kind, c[0], x[0], y[0]), self.real("select", kind, c[0], x[1], y[1])

    def _complex_isnan(self, kind: DType, x: Value) -> Value:
        return (self.real("or", bool_, self.real("isnan", kind, x[0]), self.real("isnan", kind, x[1])),)
