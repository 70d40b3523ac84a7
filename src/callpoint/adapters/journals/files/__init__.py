"""A gateway's journal as one file of JSON lines."""

from callpoint.adapters.journals.files.journal import FileJournal

__all__ = ["FileJournal"]
