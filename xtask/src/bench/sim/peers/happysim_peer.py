"""The models in happysim, from its own parts: Poisson source, server, sink, and for many servers its random router.

An event is what it counts as one: what its loop takes from its heap and hands to an entity.
"""

import random

import numpy
from happysimulator import Instant, Server, Simulation, Sink, Source
from happysimulator.components.random_router import RandomRouter
from happysimulator.core.temporal import Duration
from happysimulator.distributions import ExponentialLatency, LatencyDistribution

import peer


class FixedAndExponential(LatencyDistribution):
    def __init__(self, fixed_s, mean_s):
        super().__init__(fixed_s + mean_s)
        self.fixed_s, self.rate = fixed_s, 1 / mean_s

    def get_latency(self, now):
        return Duration.from_seconds(self.fixed_s + random.expovariate(self.rate))


def model(jobs, rate, servers, target, sink):
    numpy.random.seed(peer.SEED)  # its arrivals come from there
    source = Source.poisson(rate=rate, target=target)
    entities = [*servers, sink] + ([target] if target not in servers else [])
    # With an end it takes its fast loop; jobs that are there then do not count.
    sim = Simulation(sources=[source], entities=entities, end_time=Instant.from_seconds(jobs / rate))
    return sim.run, lambda: (sim.summary.total_events_processed, sink.latencies_s)


def mm1(jobs):
    sink = Sink()
    server = Server("server", service_time=ExponentialLatency(peer.MM1_WORK_S), downstream=sink)
    return model(jobs, peer.MM1_RATE, [server], server, sink)


def routers(jobs):
    sink = Sink()
    work = FixedAndExponential(peer.ROUTERS_FIXED_S, peer.ROUTERS_WORK_S)
    servers = [Server(f"server-{n}", service_time=work, downstream=sink) for n in range(peer.ROUTERS)]
    return model(jobs, peer.ROUTERS_RATE, servers, RandomRouter("router", targets=servers), sink)


peer.answer("happysim", {"mm1": mm1, "routers": routers})
