"""What the simulators written in Python share: the two models in numbers, the clock, and the line of JSON that they answer with.

    python NAME_peer.py MODEL JOBS SEED

`mm1` is one server that is busy for four fifths of the time; `routers` is 250 of them behind a router that picks at random.
Time is of the run alone: neither imports nor the start of the interpreter count, nor the summing up. CPU time of this process.
"""

import gc
import importlib.metadata
import json
import platform
import random
import sys
import time

MM1_RATE = 800.0  # per second
MM1_WORK_S = 0.001  # mean of an exponential
ROUTERS = 250
ROUTERS_RATE = 679.1  # per second, over all of them
ROUTERS_FIXED_S = 0.020
ROUTERS_WORK_S = 0.100  # mean of an exponential, on top of what is fixed
MODEL, JOBS, SEED = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def answer(package, models):
    """Runs what the command line asks for. A model is called with the number of jobs, and gives what to run and what to ask
    afterwards: the number of events, and a list of how long each job took, in seconds."""
    random.seed(SEED)
    run, result = models[MODEL](JOBS)
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    events, times = result()
    print(json.dumps({
        "version": f"{package} {importlib.metadata.version(package)}, Python {platform.python_version()}",
        "jobs": len(times),
        "events": events,
        "mean_s": sum(times) / len(times),
        "wall_s": wall,
        "cpu_s": cpu,
    }))
