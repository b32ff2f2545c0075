"""The component exports two interfaces, so the module has two classes of their names.

Everything is imported up here: these lines run while the component is built, and when it is called there are no
files. Some modules of Python import others when they are first used; `ast.unparse` is one of those that fail then.
"""

import ast
import math
import operator
import statistics
import struct
import zlib
from fractions import Fraction

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.exports import numbers, packing

BITS_MAX = 4096
LENGTH_MAX = 100  # What is nested deeper than Python's reader can go breaks off the call.
S64 = range(-(2**63), 2**63)
U64 = range(2**64)

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


class Numbers(exports.Numbers):
    def summarize(self, values: list[float]) -> numbers.Summary:
        if not values:
            raise Err("there is nothing to describe: give at least one number")
        return numbers.Summary(
            count=len(values),
            least=min(values),
            greatest=max(values),
            mean=sum(values) / len(values),
            median=statistics.median(values),
            deviation=deviation(values),
            modes=statistics.multimode(values),
        )

    def calculate(self, expression: str) -> numbers.Number:
        if len(expression) > LENGTH_MAX:
            raise Err(numbers.Mistake_Unreadable(f"longer than {LENGTH_MAX} characters"))
        try:
            return number(evaluate(ast.parse(expression.strip(), mode="eval").body))
        except ZeroDivisionError:
            raise Err(numbers.Mistake_DivisionByZero()) from None
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise Err(numbers.Mistake_Unreadable(str(error))) from None

    def calculate_all(self, expressions: list[str]):
        results = []
        for expression in expressions:
            try:
                results.append(Ok(self.calculate(expression)))
            except Err as error:
                results.append(error)
        return results


class Packing(exports.Packing):
    def pack(self, values: list[packing.Value], order: packing.Order) -> bytes:
        prefix = PREFIXES[order]
        packed = bytearray()
        for value in values:
            match value:
                case packing.Value_Text(text):
                    data = text.encode()
                    packed += struct.pack(prefix + "I", len(data)) + data
                case packing.Value_Unsigned(given):
                    packed += struct.pack(prefix + "Q", given)
                case packing.Value_Signed(given):
                    packed += struct.pack(prefix + "q", given)
                case packing.Value_Double(given):
                    packed += struct.pack(prefix + "d", given)
        return bytes(packed)

    def unpack(self, data: bytes, shapes: list[packing.Shape], order: packing.Order) -> list[packing.Value]:
        prefix = PREFIXES[order]
        values = []
        at = 0
        try:
            for shape in shapes:
                code, case = SHAPES[shape]
                (value,) = struct.unpack_from(prefix + code, data, at)
                at += struct.calcsize(prefix + code)
                if shape == packing.Shape.TEXT:
                    end = at + value
                    if end > len(data):
                        raise Err(f"the text at byte {at} has {len(data) - at} bytes, not {value}")
                    value = bytes(data[at:end]).decode()
                    at = end
                values.append(case(value))
        except (struct.error, UnicodeDecodeError) as error:
            raise Err(str(error)) from None
        if at < len(data):
            raise Err(f"{len(data) - at} bytes are left over")
        return values

    def compress(self, data: bytes, level: int | None) -> bytes:
        if level is not None and level > 9:
            raise Err(f"there is no level {level}: 0 to 9")
        return zlib.compress(data, -1 if level is None else level)

    def expand(self, data: bytes) -> bytes:
        try:
            return zlib.decompress(data)
        except zlib.error as error:
            raise Err(str(error)) from None


PREFIXES = {packing.Order.LITTLE: "<", packing.Order.BIG: ">"}

SHAPES = {
    packing.Shape.UNSIGNED: ("Q", packing.Value_Unsigned),
    packing.Shape.SIGNED: ("q", packing.Value_Signed),
    packing.Shape.DOUBLE: ("d", packing.Value_Double),
    packing.Shape.TEXT: ("I", packing.Value_Text),
}


def deviation(values: list[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5


def evaluate(node: ast.expr) -> Fraction:
    match node:
        case ast.Constant(int() as value) if not isinstance(value, bool):
            return Fraction(value)
        case ast.Constant(float() as value) if math.isfinite(value):
            return Fraction(str(value))
        case ast.UnaryOp(op, operand) if type(op) in OPERATORS:
            return OPERATORS[type(op)](evaluate(operand))
        case ast.BinOp(base, ast.Pow(), exponent):
            return power(evaluate(base), evaluate(exponent))
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            return bounded(Fraction(OPERATORS[type(op)](evaluate(left), evaluate(right))))
    raise ValueError(f"{type(node).__name__} is nothing to calculate with")


def power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise ValueError(f"{exponent} is no exponent: only integers are")
    bits = max(base.numerator.bit_length(), base.denominator.bit_length()) - 1
    if bits * abs(exponent) > BITS_MAX:
        raise Err(numbers.Mistake_TooLarge(min(int(bits * abs(exponent)), U64[-1])))
    if bits == 0 and base in (0, 1, -1):
        exponent = min(exponent, exponent % 2 + 2) if exponent > 0 else exponent
    return base ** int(exponent)


def bounded(value: Fraction) -> Fraction:
    bits = max(value.numerator.bit_length(), value.denominator.bit_length())
    if bits > 2 * BITS_MAX:
        raise Err(numbers.Mistake_TooLarge(bits))
    return value


def number(value: Fraction) -> numbers.Number:
    if value.denominator == 1:
        if value.numerator in S64:
            return numbers.Number_Whole(value.numerator)
        return numbers.Number_Digits(str(value.numerator))
    if value.numerator in S64 and value.denominator in U64:
        return numbers.Number_Fraction(numbers.Fraction(value.numerator, value.denominator))
    try:
        return numbers.Number_Rounded(float(value))
    except OverflowError:
        return numbers.Number_Digits(f"{value.numerator}/{value.denominator}")
