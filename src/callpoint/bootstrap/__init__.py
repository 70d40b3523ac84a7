"""The composition root: the only package that names adapters, one builder per process.

``home`` is the folder of one installation, ``founding`` makes it, ``process`` builds what every
process needs, ``serve`` runs it, ``connectors`` follows the configured targets.
"""
