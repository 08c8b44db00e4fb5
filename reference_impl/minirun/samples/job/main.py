"""job: work that ends. The tasks of an execution share the numbers from 1 to `NUMBERS` and look for primes.

Each task takes its part of them, as CLOUD_RUN_TASK_INDEX and CLOUD_RUN_TASK_COUNT say, prints how many primes
there are in it, and ends with exit code 0.

NUMBERS=1000000       how far to look (100000)
SLEEP_MS=5000         pretend that it takes longer
FAIL_RATE=0.5         ends with exit code 1 every other time
FAIL=3                ends with exit code 3, every time
FAIL_TASK=2           ... in task 2 only            FAIL_ATTEMPTS=1   ... in the first attempt only

SLEEP_MS and FAIL_RATE are those of Google's sample us-docker.pkg.dev/cloudrun/container/job.
"""

import json
import os
import random
import signal
import sys
import time

INDEX, COUNT, ATTEMPT = (
    int(os.environ.get(f"CLOUD_RUN_TASK_{name}", default))
    for name, default in (("INDEX", 0), ("COUNT", 1), ("ATTEMPT", 0))
)
NUMBERS = int(os.environ.get("NUMBERS", "100000"))
SLEEP_MS = int(os.environ.get("SLEEP_MS", "0"))
FAIL_RATE = float(os.environ.get("FAIL_RATE", "0"))
FAIL = int(os.environ.get("FAIL", "0"))
FAIL_TASK = int(os.environ.get("FAIL_TASK", INDEX))
FAIL_ATTEMPTS = int(os.environ.get("FAIL_ATTEMPTS", ATTEMPT + 1))


def count_primes(numbers):
    """How many of the numbers are prime."""
    return sum(n > 1 and all(n % d for d in range(2, int(n**0.5) + 1)) for n in numbers)


def say(severity, message):
    """A structured log entry, as Cloud Logging reads it."""
    print(json.dumps({"severity": severity, "message": message}), flush=True)


def stop(*_):
    say("WARNING", f"task {INDEX} was told to end")
    sys.exit(1)


def main():
    signal.signal(signal.SIGTERM, stop)
    print(f"task {INDEX} of {COUNT}, attempt {ATTEMPT}, begins", flush=True)
    time.sleep(SLEEP_MS / 1000)
    chosen = INDEX == FAIL_TASK and ATTEMPT < FAIL_ATTEMPTS
    code = (FAIL if chosen else 0) or int(random.random() < FAIL_RATE)
    if code:
        say("ERROR", f"task {INDEX} fails with exit code {code}")
        sys.exit(code)
    first, end = NUMBERS * INDEX // COUNT + 1, NUMBERS * (INDEX + 1) // COUNT + 1
    say("INFO", f"task {INDEX} found {count_primes(range(first, end))} primes from {first} to {end - 1}")


if __name__ == "__main__":
    main()
