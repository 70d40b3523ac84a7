"""Policy as code: a PDP over Cedar (I11). Values in, values out: no clock, no file, no network.

``schema`` and ``entities`` are the vocabulary, ``policy_set`` the validated policies, ``pdp``
decides, ``reason`` words a refusal, ``explain`` shows the working, ``cases`` are policy tests and
``pap`` checks all of it before it is published.
Only the PEP (``lifecycle/pep.py``) asks the PDP in production.
"""
