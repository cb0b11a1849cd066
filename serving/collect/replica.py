"""One replica of the collect application: the log's writer, the profiles' folder, who says who moved, and its routes."""

import time
from functools import partial
from pathlib import Path
from typing import Any

from serving.http.access import Access
from serving.http.front import Front
from serving.lasting import dead, keep_for_good, refuse_dead
from serving.loopback import keep_on_this_machine
from tailorbird.settings import Settings


class Collect:
    """One replica of the collect application."""

    def __init__(self, settings: dict[str, Any], *, folder: str) -> None:
        from feature_repo.store import FeatureStoreRoom
        from feature_repo.updater.updater import ProfileUpdater
        from serving.collect.consents import ConsentService
        from serving.collect.fold import ProfileFolder
        from serving.collect.known import KnownItems
        from serving.collect.links import LinkService
        from serving.collect.service import CollectService
        from serving.notice import Notice
        from serving.segments.live import LiveSegments
        from serving.segments.mover import Mover
        from serving.segments.told import ToldPeople
        from serving.writer import GroupWriter
        from tailorbird.audit.record import record
        from tailorbird.privacy.door.door import Door
        from tailorbird.privacy.people.suppression import Suppressions
        from tailorbird.segments.rules.file import RulesFile
        from tailorbird.streams.factory import open_events

        keep_on_this_machine()
        chosen = Settings(**settings)
        self._door = Door.of(chosen, told=ToldPeople(chosen.catalog_folder).of)
        self._log = open_events(chosen)
        room = FeatureStoreRoom(chosen)
        self._segments = LiveSegments(chosen, noticed=Notice(Path(folder)).stamp)
        self._mover = Mover(
            self._segments,
            events=self._log,
            read_parts=room.online_parts,
            history_length=chosen.history_length,
            rules=RulesFile(chosen.folder, clock=time.monotonic),
            policy=lambda: self._door.policy,
            told=ToldPeople(chosen.catalog_folder).of,
        )
        updater = ProfileUpdater(chosen, room=room, log=self._log, on_changes=self._mover.take)
        self._folder = ProfileFolder(updater, self._log)
        self._writer = GroupWriter(
            self._log,
            fold=self._folder.fold,
            admit=self._door.events,
            refuses=Suppressions.of(chosen).refused,
        )
        self._consents = ConsentService(
            self._writer,
            policy=lambda: self._door.policy,
            newest_of=updater.newest_of,
            person_of=lambda identifier, anonymous: self._door.person(identifier, anonymous=anonymous),
            noted=partial(record, chosen),
        )
        self._links = LinkService(
            self._writer,
            links_of=updater.links_of,
            named=self._door.named,
            noted=partial(record, chosen),
        )
        self._service = CollectService(
            self._writer,
            self._folder,
            workspace=chosen.workspace,
            known_items=KnownItems(chosen.catalog_folder),
            policy=lambda: self._door.policy,
        )
        self._segments.start()
        self._mover.start(partial(self._writer.write, yielding=True))
        self._access = Access.of(chosen)
        self._max_body_bytes, self._origins = chosen.max_body_bytes, chosen.allowed_origins
        keep_for_good()

    def __serve_build_asgi_app__(self) -> Front:
        """The HTTP edge, made in the replica once the parts above stand."""
        from serving.collect.routes import collect_routes

        return Front(
            collect_routes(self._service),
            rest=None,
            access=self._access,
            max_body_bytes=self._max_body_bytes,
            origins=self._origins,
            on_shutdown=self.close,
        )

    async def link(self, user_id: str, anonymous_id: str, joined: bool, key: str) -> dict[str, Any]:
        """Join or part two ids; recommend asks, whose application /v1/users belongs to. ``key`` is the id of its caller's."""
        from serving.http.problems import packed

        return await packed(self._links.link(user_id, anonymous_id, joined=joined, key=key))

    async def say(self, identifier: str, told: dict[str, Any], anonymous: bool, key: str) -> dict[str, Any]:
        """Store what a person allows and refuses; recommend asks, as of links."""
        from serving.http.consents import ConsentTold
        from serving.http.problems import packed

        body = ConsentTold.model_validate(told)
        return await packed(self._consents.say(identifier, body, anonymous=anonymous, key=key))

    def check_health(self) -> None:
        """Ray Serve asks; an error here has the replica replaced."""
        own = [each.thread for each in (self._mover, self._segments) if each.thread is not None]
        refuse_dead([*self._service.dead_threads(), *dead(own)])

    def close(self) -> None:
        """Store the batches that wait and stop the threads."""
        self._writer.close()
        self._folder.close()
        self._mover.close()  # what was folded last may have moved somebody
        self._segments.close()
        self._log.close()
        self._door.close()
