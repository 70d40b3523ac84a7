"""A node's memory as files in the home folder: tombstones, and the picture of live leases."""

from callpoint.adapters.node.files.picture import FilePicture
from callpoint.adapters.node.files.shelf import FileShelf

__all__ = ["FilePicture", "FileShelf"]
