"""What a PostgreSQL statement does, read from its parse tree. Values in, values out: no I/O.

The way in, for whoever forwards statements (docs/gateways/postgres.md says what it must hold):

- ``catalogue_query``: ``CATALOGUE_QUERY`` is sent in the session, ``catalogue_of(rows)`` makes the
  facts of its answer; ``VERSION_QUERY`` answers ``Catalogue.version`` as long as they are true.
- ``facts.Pins``: the search path; ``Pins.setting`` is what the session must be given.
- ``classify.Classifier(catalogue, pins)``: one for each state of the catalogue; sessions share it.
  ``classify(text, session)`` answers ``access.Classified`` (statements, accesses, names that get a
  text) or raises DeniedError (SQLSTATE 42501) or RequestError (42601). ``behind(kind, name,
  session)`` is the same for a Bind or Execute of the protocol, which names a text;
  ``parameters(oids)`` is what the parameter types of a Parse ask for.
- ``session.Session``: what was prepared so far, a value; ``after(classified)``, ``bound(binding)``,
  ``closed(kind, name)`` and ``idle()`` give the next one.
- ``redact.redact(text)``: what may be recorded of a text that was refused.
"""
