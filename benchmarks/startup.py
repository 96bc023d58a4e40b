"""`python -m benchmarks.startup`: how long help takes, and how long it takes to build a large net.

The house promises help in under half a second, and B-ResNet-50 (48 patterns) in under two.
"""

import subprocess
import sys
import time
from statistics import median

COMMANDS = (
    *(["mlp", "--help"], ["mlp", "smoke", "--help"], ["mlp", "--list"]),
    *(["resnet", "--help"], ["resnet", "--list"]),
)
BUILD = """
import time
from resnet.model import resnet
begin = time.perf_counter()
resnet(50, "iddl", init="dense")
print(time.perf_counter() - begin)
"""


def main() -> int:
    """Median of nine calls each."""
    for words in COMMANDS:
        times = []
        for _ in range(9):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-m", *words], stdout=subprocess.DEVNULL, check=True)
            times.append(time.perf_counter() - begin)
        print(f"python -m {' '.join(words):<20} {median(times):.3f} s")
    words = [sys.executable, "-c", BUILD]
    built = [
        float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    print(f"{'resnet(50, iddl), built':<30} {median(built):.3f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
