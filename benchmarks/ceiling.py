"""What a processor can do at most: multiply-adds of float32 that wait for nothing, in a loop that the C compiler translates.

A matrix product is no ceiling: the best library for it stays a fifth below. Needs a C compiler (``cc``).

    python benchmarks/ceiling.py [THREADS]        prints billions of operations a second
"""

import argparse
import ctypes
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

VECTORS = 10  # a multiply-add takes four cycles, and two begin in each: as many at a time keep all of them busy
SOURCE = """
#ifdef __AVX512F__
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
typedef float vector __attribute__((vector_size(BYTES)));

int lanes(void) { return BYTES / 4; }

float multiply_add(long rounds, float start) {
    vector x[VECTORS], a = {0}, b = {0};
    a += 0.999f; b += start;
    for (int k = 0; k < VECTORS; k++) x[k] = b * (float) k;
    for (long i = 0; i < rounds; i++) {
#pragma GCC unroll VECTORS
        for (int k = 0; k < VECTORS; k++) x[k] = x[k] * a + b;
    }
    for (int k = 1; k < VECTORS; k++) x[0] += x[k];
    return x[0][0];
}
"""


def multiply_adds(threads: int, *, rounds: int = 20_000_000, repeats: int = 7) -> float:
    """Operations a second of ``threads`` threads, two a multiply-add, in the best of some rounds: a ceiling is not exceeded."""
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "ceiling.c", Path(folder) / "ceiling.so"
        source.write_text(SOURCE.replace("VECTORS", str(VECTORS)))
        flags = ["-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC"]
        subprocess.run(["cc", *flags, source, "-o", library], check=True)
        compiled = ctypes.CDLL(str(library))
        compiled.multiply_add.argtypes, compiled.multiply_add.restype = (ctypes.c_long, ctypes.c_float), ctypes.c_float
        lanes, times = compiled.lanes(), []
        with ThreadPoolExecutor(threads) as pool:  # ctypes lets go of Python's lock
            for _ in range(1 + repeats):
                started = time.perf_counter()
                list(pool.map(compiled.multiply_add, [rounds] * threads, [0.5] * threads))
                times.append(time.perf_counter() - started)
    return 2 * VECTORS * lanes * rounds * threads / min(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("threads", type=int, nargs="?", default=1)
    print(f"{multiply_adds(parser.parse_args().threads) / 1e9:.1f}")


if __name__ == "__main__":
    main()
