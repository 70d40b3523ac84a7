"""Binding tokens of requestable denials."""
