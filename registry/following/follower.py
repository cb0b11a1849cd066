"""Following aliases: where each points now, and the folder of the bundle it points at. Any number of aliases, one look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from registry.following.download import bundle_folder
from registry.following.pointers import Pointers, RegistryError, open_pointers
from tailorbird.settings import Settings


@dataclass(frozen=True)
class Release:
    """A version that an alias points at, and the folder of its bundle on this machine."""

    version: str
    folder: Path
    alias: str


class Follower:
    """Follows aliases of one registered model, the workspace's recommender unless ``name`` says otherwise.

    It keeps nothing between two looks but a connection. A look is cheap (a millisecond embedded, one request to a server) and may be made every second. What it
    finds is fetched one alias at a time, so that the trouble or the size of one never keeps another from moving.
    """

    def __init__(self, settings: Settings, *, pointers: Pointers | None = None, name: str = "") -> None:
        self._settings, self._name = settings, name or settings.model_name
        self._pointers = pointers or open_pointers(settings, name=self._name)

    def look(self, aliases: Sequence[str]) -> Mapping[str, str | None]:
        """The version each alias points at now, None where it points nowhere.

        Raises:
            RegistryAwayError: the registry cannot be asked; go on with what it said before.
        """
        found = self._pointers.aliases()
        return {alias: found.get(alias) for alias in aliases}

    def fetch(self, alias: str, version: str) -> Release:
        """Bring the bundle of ``version`` to this machine; opening it verifies its checksums. ``alias`` "" where it is named itself.

        Raises:
            RegistryAwayError: the registry cannot be asked.
            RegistryError: the version was deleted since the look, or its artifacts cannot be fetched.
            BundleError: what was fetched is damaged.
        """
        source = self._pointers.source(version)
        if not source:
            named = f"alias {alias!r} points at version" if alias else "version"
            raise RegistryError(
                f"{named} {version} of {self._name!r}, which is deleted",
                remedy="`tailorbird rollback` or `tailorbird promote` moves the alias to one that is there"
                if alias
                else "stop the experiment that names it, or restore the version",
            )
        folder = bundle_folder(self._settings, version=version, source=source)
        if not folder.is_dir():
            raise RegistryError(
                f"version {version} of {self._name!r} has no bundle at {folder}",
                remedy="its files were deleted: restore them, or `tailorbird rollback`",
            )
        return Release(version, folder, alias)
