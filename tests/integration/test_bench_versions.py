"""`headway bench` tells the servers' versions, reached as Headway's own processes reach them."""

from __future__ import annotations

from headway.broker_options import is_redis
from headway_coordinator.bench.versions import versions
from tests.integration.brokers import Broker
from tests.integration.test_redis_secure import documented_users
from tests.servers.processes import Processes
from tests.servers.redis_secure import guarded


def test_the_brokers_version_is_told(broker: Broker) -> None:
    results = broker.url if is_redis(broker.url) else ""
    document = versions("sqlite:///nowhere", broker.url, results, 3)
    told = document["versions"]["redis_server" if results else "rabbitmq"]
    assert told[0].isdigit()


def test_a_redis_with_tls_and_users_tells_it_too(processes: Processes) -> None:
    with guarded(processes, documented_users()) as server:
        url = server.url("headway")
        assert versions("sqlite:///nowhere", url, url, 3)["versions"]["redis_server"][0].isdigit()
