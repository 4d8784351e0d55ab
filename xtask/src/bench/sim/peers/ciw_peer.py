"""M/M/1 in Ciw, which is made for networks of queues.

An event is an arrival or the end of a service: two per job that was done, and one per job that is still there.
"""

import ciw

import peer


def mm1(jobs):
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(peer.MM1_RATE)],
        service_distributions=[ciw.dists.Exponential(1 / peer.MM1_WORK_S)],
        number_of_servers=[1],
    )
    ciw.seed(peer.SEED)
    simulation = ciw.Simulation(network)
    return lambda: simulation.simulate_until_max_customers(jobs), lambda: result(simulation)


def result(simulation):
    done = simulation.get_all_records()
    return 2 * len(done), [record.exit_date - record.arrival_date for record in done]


peer.answer("Ciw", {"mm1": mm1})
