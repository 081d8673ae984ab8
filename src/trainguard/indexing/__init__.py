"""From a library's wheel to the record of what it defines. Its source is parsed, never imported or run."""

from __future__ import annotations

from trainguard.indexing.cache import Cache, FileCache
from trainguard.indexing.link import read_interface
from trainguard.indexing.metadata import read_release
from trainguard.indexing.modules import read_module
from trainguard.indexing.sources import Source, folder_sources, installed_sources, wheel_sources

__all__ = [
    "Cache",
    "FileCache",
    "Source",
    "folder_sources",
    "installed_sources",
    "read_interface",
    "read_module",
    "read_release",
    "wheel_sources",
]
