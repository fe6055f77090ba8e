"""One short round of each kind of fault, of those that rounds.py makes by the hundred."""
import random
import rounds
from lib import Skipped, eq

SMOKE = False
LONG = True
# Each fault once, on one deployment; 'Kafka away' is 'broker killed' with a longer pause.
KINDS = {
    rounds.Embedded: ['counter killed', 'gateway stopped', 'analytics killed'],
    rounds.Redis: ['gateway killed', 'counter stopped', 'redis-server killed',
                   'redis-server stopped', 'redis-server restarted', 'broker stopped',
                   'broker killed'],
    rounds.Sentinel: ['failover'],
    rounds.Cluster: ['slots moved'],
    rounds.Fleet: ['every process replaced'],
}


def test_one_of_each():
    try:
        rounds.dev_servers.need('java', 'default-jre-headless')
        rounds.dev_servers.kafka_jars()
        rounds.dev_servers.consul_program()
    except rounds.dev_servers.Trouble as why:
        raise Skipped(f'no Kafka or Consul here: {why}'[:200]) from why
    kinds = [(kind, name) for kind, names in KINDS.items() for name in names]
    seed = random.randrange(1 << 32)
    print(f'     seed {seed}', flush=True)
    _, flaws = rounds.run(kinds, len(kinds), seed, rounds.SHORT,
                          lambda line: print(line, flush=True))
    eq(flaws, [], 'rounds with a flaw')
