"""`python -m benchmarks.startup`: how long help takes; the house promises under half a second."""

import subprocess
import sys
import time
from statistics import median

COMMANDS = (["mlp", "--help"], ["mlp", "smoke", "--help"], ["mlp", "--list"])


def main() -> int:
    """Median of nine calls each."""
    for words in COMMANDS:
        times = []
        for _ in range(9):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-m", *words], stdout=subprocess.DEVNULL, check=True)
            times.append(time.perf_counter() - begin)
        print(f"python -m {' '.join(words):<20} {median(times):.3f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
