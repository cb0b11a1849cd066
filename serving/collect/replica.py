"""One replica of the collect application: the log's writer, the profiles' folder, and its routes."""

from typing import Any

from serving.http.front import Front, Route
from serving.lasting import keep_for_good, refuse_dead
from serving.loopback import keep_on_this_machine
from tailorbird.settings import Settings


class Collect:
    """One replica of the collect application."""

    def __init__(self, settings: dict[str, Any]) -> None:
        from feature_repo.updater import ProfileUpdater
        from serving.collect.fold import ProfileFolder
        from serving.collect.known import KnownItems
        from serving.collect.links import LinkService
        from serving.collect.service import CollectService
        from serving.writer import GroupWriter
        from tailorbird.streams.factory import open_events

        keep_on_this_machine()
        chosen = Settings(**settings)
        self._log = open_events(chosen)
        updater = ProfileUpdater(chosen, log=self._log)
        self._folder = ProfileFolder(updater, self._log)
        self._writer = GroupWriter(self._log, fold=self._folder.fold)
        self._links = LinkService(self._writer, links_of=updater.links_of)
        self._service = CollectService(
            self._writer,
            self._folder,
            workspace=chosen.workspace,
            known_items=KnownItems(chosen.catalog_folder),
        )
        self._max_body_bytes, self._origins = chosen.max_body_bytes, chosen.allowed_origins
        keep_for_good()

    def __serve_build_asgi_app__(self) -> Front:
        """The HTTP edge, made in the replica once the parts above stand."""
        return Front(
            [
                Route("events", "POST", "/v1/events", self._service.collect),
                Route("events_health", "GET", "/v1/events/health", self._service.health),
            ],
            rest=None,
            max_body_bytes=self._max_body_bytes,
            origins=self._origins,
            on_shutdown=self.close,
        )

    async def link(self, user_id: str, anonymous_id: str, joined: bool) -> dict[str, Any]:
        """Join or part two ids; recommend asks, whose application /v1/users belongs to. ``problem`` says what went wrong."""
        from serving.http.problems import ProblemError

        try:
            linked = await self._links.link(user_id, anonymous_id, joined=joined)
        except ProblemError as problem:
            return {"problem": problem.told()}
        return linked.model_dump()

    def check_health(self) -> None:
        """Ray Serve asks; an error here has the replica replaced."""
        refuse_dead(self._service.dead_threads())

    def close(self) -> None:
        """Store the batches that wait and stop the threads."""
        self._writer.close()
        self._folder.close()
        self._log.close()
