"""Folders in an object store: what of a path others need of them. Credentials and endpoint come from the usual AWS_* variables."""

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tailorbird.plumbing.environment import s3_endpoint

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

SCHEMES = ("s3://",)


@dataclass(frozen=True, order=True)
class ObjectPath:
    """An address in an object store, ``s3://bucket/prefix/name``. Folders there are only beginnings of names."""

    address: str

    def __truediv__(self, name: str) -> "ObjectPath":
        return ObjectPath(f"{self.address.rstrip('/')}/{name.lstrip('/')}")

    def __str__(self) -> str:
        return self.address

    @property
    def name(self) -> str:
        """What stands behind the last slash."""
        return self.address.rpartition("/")[2]

    @property
    def key(self) -> str:
        """The address as the file system wants it: ``bucket/prefix/name``."""
        return self.address.split("://", 1)[1]

    def exists(self) -> bool:
        """Whether there is an object of this name, or one whose name begins with it and a slash."""
        from pyarrow.fs import FileType

        return bool(file_system().get_file_info(self.key).type != FileType.NotFound)

    def is_dir(self) -> bool:
        """Whether there are objects in this folder."""
        from pyarrow.fs import FileType

        return bool(file_system().get_file_info(self.key).type == FileType.Directory)

    def glob(self, pattern: str) -> Iterator["ObjectPath"]:
        """The objects of this folder whose names match."""
        from pyarrow.fs import FileSelector

        for info in file_system().get_file_info(FileSelector(self.key, allow_not_found=True)):
            if fnmatch.fnmatch(info.base_name, pattern):
                yield self / info.base_name


def file_system() -> "FileSystem":
    """Arrow's way to S3, or whatever speaks its protocol at AWS_ENDPOINT_URL."""
    return _file_system(s3_endpoint())


@lru_cache(maxsize=8)
def _file_system(endpoint: str) -> "FileSystem":
    from pyarrow.fs import S3FileSystem

    if not endpoint:
        return S3FileSystem()
    parts = urlsplit(endpoint)
    return S3FileSystem(endpoint_override=parts.netloc, scheme=parts.scheme)


def delta_options() -> dict[str, str]:
    """What Delta Lake must know beyond the AWS_* variables: a commit must never replace another's (conditional put)."""
    options = {"conditional_put": "etag"}
    if s3_endpoint().startswith("http://"):
        options["allow_http"] = "true"
    return options
