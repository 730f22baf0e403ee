"""Scores as people read them: with as many digits as tell them from their threshold.

Scores have no unit and no scale: those of one scorer are thousands, of another some
ten-thousandths. A fixed number of decimals makes both alike, or cuts off what matters.
"""

import math
from collections.abc import Sequence
from decimal import Decimal

DIGITS = 4  # significant ones, where nothing asks for more
ENOUGH = 17  # any two numbers of double precision differ in them


def number(x: float, digits: int = DIGITS) -> str:
    """``x`` with so many significant digits, and all of those before the point.

    Beyond a billion, and below a billionth, with an exponent.

    >>> number(0.00098), number(-1.5), number(12345.6), number(2.5e-12)
    ('0.0009800', '-1.500', '12346', '2.500e-12')
    """
    x = float(x)  # numpy's are unknown to Decimal
    if x == 0 or not math.isfinite(x):
        return f"{x + 0.0:g}"  # no -0
    whole = Decimal(x).adjusted() + 1  # digits before the point, exactly
    if not -9 < whole < 10:
        return f"{x:.{digits - 1}e}"
    return f"{x:.{max(digits - whole, 0)}f}"


def told_apart(
    scores: Sequence[float], limit: float | None = None
) -> tuple[list[str], str]:
    """Texts of ``scores``, and that of their ``limit``: "" where it is None.

    All have the same number of significant digits, the smallest with which every score
    that is not the limit is seen to lie on its side of it.

    >>> told_apart([0.00096, 0.0009801, 0.00098], limit=0.00098)
    (['0.0009600', '0.0009801', '0.0009800'], '0.0009800')
    >>> told_apart([0.98003, 2.0], limit=0.98004)
    (['0.98003', '2.0000'], '0.98004')
    """
    if limit is None:
        return [number(score) for score in scores], ""
    for digits in range(DIGITS, ENOUGH + 1):
        texts, text = [number(score, digits) for score in scores], number(limit, digits)
        shown = [float(own) == float(text) for own in texts]
        if shown == [score == limit for score in scores]:
            break
    return texts, text
