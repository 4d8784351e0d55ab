"""The models in SimPy, in the form that is fastest there: a process per server, which takes jobs from a store of its own. (With a
process per job and a resource per server, the other usual form, it does two thirds of that.)

An event is what the environment takes from its heap: each has a number of its own, counted up from 0.
"""

from random import expovariate, randrange

import simpy

import peer


def model(jobs, rate, servers, work):
    env = simpy.Environment()
    stores = [simpy.Store(env) for _ in range(servers)]
    times = []

    def server(store):
        while True:
            came = yield store.get()
            yield env.timeout(work())
            times.append(env.now - came)

    def source():
        for _ in range(jobs):
            yield env.timeout(expovariate(rate))
            stores[randrange(servers) if servers > 1 else 0].put(env.now)

    for store in stores:
        env.process(server(store))
    env.process(source())
    return env.run, lambda: (next(env._eid), times)


def mm1(jobs):
    return model(jobs, peer.MM1_RATE, 1, lambda: expovariate(1 / peer.MM1_WORK_S))


def routers(jobs):
    def work():
        return peer.ROUTERS_FIXED_S + expovariate(1 / peer.ROUTERS_WORK_S)

    return model(jobs, peer.ROUTERS_RATE, peer.ROUTERS, work)


peer.answer("simpy", {"mm1": mm1, "routers": routers})
