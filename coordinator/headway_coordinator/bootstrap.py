"""Builds the concrete parts of a process and connects them; the only place that does."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from datetime import timedelta

import structlog

from headway.clock import Clock, SystemClock
from headway.garbage import spare_what_stays
from headway.ids import new_id
from headway.refusals import Refusals
from headway_coordinator.access.cipher import Cipher
from headway_coordinator.application.advancing import Advancer
from headway_coordinator.application.backfilling import Backfiller
from headway_coordinator.application.capacity import CapacityView
from headway_coordinator.application.conditions import Conditions
from headway_coordinator.application.deciding import Decider
from headway_coordinator.application.hearing import Hearing
from headway_coordinator.application.notifying import Notifier
from headway_coordinator.application.plans import Plans
from headway_coordinator.application.ports import Lease, Storage
from headway_coordinator.application.receiving import Receiver
from headway_coordinator.application.resolving import Resolver
from headway_coordinator.application.scheduling import Scheduler
from headway_coordinator.application.secrets import Secrets
from headway_coordinator.application.sweeping import BrokerView, Sweeper
from headway_coordinator.broker.events import EventConsumer
from headway_coordinator.broker.publishing import Publisher
from headway_coordinator.broker.upstream import BrokerLetters
from headway_coordinator.broker.watching import BrokerWatch
from headway_coordinator.integrations.evaluator import SandboxedEvaluator
from headway_coordinator.integrations.health import ApiWatch
from headway_coordinator.integrations.metrics import EngineMetrics
from headway_coordinator.integrations.posting import GuardedPost
from headway_coordinator.integrations.webhooks import cloudevents
from headway_coordinator.loops.counting import Counting
from headway_coordinator.loops.deciding import DecideLoop
from headway_coordinator.loops.forgetting import Forgetting
from headway_coordinator.loops.leadership import Leadership
from headway_coordinator.loops.leading import LeadLoop
from headway_coordinator.loops.mailbox import Mailbox
from headway_coordinator.loops.notifying import NotifyLoop
from headway_coordinator.loops.runner import Runner
from headway_coordinator.loops.upstream import UpstreamLoop
from headway_coordinator.settings import CoordinatorSettings
from headway_coordinator.storage.opening import open_storage

log = structlog.get_logger("headway.engine")

_SQLITE_PAUSE = timedelta(milliseconds=2)  # between transactions, so that claims get their turn
_LAST_WORDS_S = 0.5  # for a notification that is being sent when leadership is handed over


class Surroundings:
    """What the sweep sees of the broker and the API: a `Watch` made of two."""

    def __init__(self, broker: BrokerWatch, api: ApiWatch) -> None:
        self._broker = broker
        self._api = api

    def broker(self) -> BrokerView:
        return self._broker.view

    def api_healthy_for(self) -> timedelta:
        return self._api.healthy_for()

    def ask(self, queues: Sequence[str]) -> None:
        self._broker.ask(queues)


class Engine:
    """The engine process: campaigns, leads, sweeps. Holds no request of anybody."""

    def __init__(self, settings: CoordinatorSettings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self.storage: Storage = open_storage(
            settings.database_url.get_secret_value(), application_name=f"headway:{settings.holder}"
        )
        broker_url = settings.broker_url.get_secret_value()
        self.metrics = EngineMetrics()
        self.publisher = Publisher(broker_url, "engine")
        self.evaluator = SandboxedEvaluator(settings.expression_budget)
        self._broker_watch = BrokerWatch(broker_url, settings.holder)
        self._api_watch = ApiWatch(settings.watched_api(), self._clock, lease=settings.worker_lease)
        self._mailbox = Mailbox()
        self.leadership = Leadership(
            leases=self.storage.leases,
            clock=self._clock,
            holder=settings.holder,
            boot=new_id(self._clock),
            term=settings.lease_term,
        )
        self.conditions = SandboxedEvaluator(settings.expression_budget)
        conditions = Conditions(self.conditions)
        self.deciding = DecideLoop(
            leadership=self.leadership,
            storage=self.storage,
            decider=Decider(self.storage, conditions, self._clock, self.metrics.decided),
            scheduler=Scheduler(self.storage, self._clock),
            parts=[Backfiller(self.storage, conditions, self._clock)],
            clock=self._clock,
            started=self._mailbox.nudge,
            warm=self.conditions.warm,
        )
        self.secrets = Secrets(self.storage, Cipher(settings.key(), settings.former_keys()))
        self.upstream = self._upstream_loop(broker_url)
        self.notifying = self._notify_loop(GuardedPost(settings.notifiable()))
        self.loop = self._lead_loop(settings, broker_url)
        self._runner = Runner(self.metrics.failed)
        self._expose()

    def _upstream_loop(self, broker_url: str) -> UpstreamLoop:
        # Of what a receiver does, the engine needs no webhooks.
        receiver = Receiver(self.storage, self.secrets, self._clock, {})
        refusals = Refusals(self.metrics.refused)
        return UpstreamLoop(
            leadership=self.leadership,
            storage=self.storage,
            hearing=Hearing(receiver.broker_events, cloudevents.parse, refusals),
            letters=lambda teams: BrokerLetters(broker_url, teams),
            heard=self.deciding.wake,
            clock=self._clock,
        )

    def _notify_loop(self, post: GuardedPost) -> NotifyLoop:
        notifications = self.storage.notifications
        notifier = Notifier(notifications, self.secrets.values, post, self._clock)
        return NotifyLoop(
            leadership=self.leadership,
            notifications=notifications,
            send=notifier.send,
            now=self.storage.sweeps.database_now,
        )

    def _lead_loop(self, settings: CoordinatorSettings, broker_url: str) -> LeadLoop:
        capacity = CapacityView(
            self._clock,
            live_within=settings.heartbeat * 4,
            refresh=timedelta(milliseconds=500),
        )
        plans = Plans(self.storage.definitions)
        self.advancer = Advancer(
            storage=self.storage,
            resolver=Resolver(self.evaluator),
            plans=plans,
            doorbell=self.publisher,
            capacity=capacity,
            clock=self._clock,
            claim_within=settings.claim_deadline,
            told=self.deciding.wake,
            noted=self.notifying.wake,
        )
        sweeper = Sweeper(
            storage=self.storage,
            doorbell=self.publisher,
            watch=Surroundings(self._broker_watch, self._api_watch),
            capacity=capacity,
            clock=self._clock,
            lease=settings.worker_lease,
            claim_within=settings.claim_deadline,
        )
        events = EventConsumer(
            broker_url,
            key=settings.key(),
            deliver=self._mailbox.put,
            nudge=self._mailbox.nudge,
            refused=self.metrics.refused,
            wake=self.publisher.nudge,
            nudge_triggers=self._triggers_nudged,
            nudge_notifications=self.notifying.wake,
        )
        return LeadLoop(
            leadership=self.leadership,
            advancer=self.advancer,
            sweeper=sweeper,
            mailbox=self._mailbox,
            events=events,
            gauges=self.metrics,
            clock=self._clock,
            pause=_SQLITE_PAUSE if self.storage.dialect == "sqlite" else timedelta(),
            on_lead=self._on_lead,
        )

    def _expose(self) -> None:
        publisher = self.publisher
        watch = self.metrics.watch
        watch("published", "Doorbells and nudges published.", lambda: publisher.published)
        watch("publish_dropped", "Doorbells the buffer dropped.", lambda: publisher.dropped)
        watch("publish_failures", "Failed publishes.", lambda: publisher.failures)
        watch("leadership_gained", "Times leadership was won.", lambda: self.leadership.gained)
        watch("leadership_lost", "Times leadership was lost.", lambda: self.leadership.lost)
        watch("expressions_killed", "Expressions over budget.", lambda: self.evaluator.killed)
        view = self._broker_watch
        watch("broker_reachable", "1 while the broker answers.", lambda: view.view.reachable)

    def _on_lead(self, lease: Lease | None) -> None:
        self._mailbox.nudge()
        self._triggers_nudged()
        self.notifying.wake()

    def _triggers_nudged(self) -> None:
        """Events came, or triggers changed."""
        self.deciding.wake()
        self.upstream.wake()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then hand over and end."""
        log.info("settings", **self._settings.redacted())
        server, port = self.metrics.serve(self._settings.metrics_listen)
        if self._settings.metrics_file is not None:
            self._settings.metrics_file.write_text(f"http://127.0.0.1:{port}/metrics\n")
        log.info("engine_started", pid=os.getpid(), metrics_port=port)
        self.evaluator.warm()
        spare_what_stays()
        self._runner.start(self._broker_watch)
        self._runner.start(self._api_watch)
        campaign = Runner(self.metrics.failed)
        campaign.start(self.leadership)
        leads = self.leadership.hold
        counting = Counting(
            self.storage.queries,
            lambda: leads() is not None,
            self.metrics.states,
            self.advancer.has_open_runs,
        )
        self._runner.start(counting)
        keep = self._settings.event_retention
        self._runner.start(Forgetting(self.storage, lambda: leads() is not None, keep))
        leading = Runner(self.metrics.failed)
        leading.start(self.loop)
        leading.start(self.deciding)
        outside = Runner(self.metrics.failed)  # these wait for other systems
        outside.start(self.upstream)
        outside.start(self.notifying)
        stop.wait()
        leading.ask()
        outside.ask()
        self._on_lead(None)
        leading.stop()
        # A notification that is just being sent would be sent again by the next leader; but no run
        # waits long for somebody else's server.
        outside.stop(_LAST_WORDS_S)
        campaign.stop()
        self.loop.end()
        outside.stop()
        self.upstream.close()
        self._runner.stop()
        self.close()
        server.shutdown()
        log.info("engine_stopped")

    def close(self) -> None:
        self.publisher.close()
        self.evaluator.close()
        self.conditions.close()
        self.notifying.close()
        self._broker_watch.close()
        self._api_watch.close()
        self.storage.close()
