"""The readable form of an evidence bundle: a story that is computed from the bundle alone.

It is part of the verifier, because whoever verifies a page must be able to write it again and
compare: a story that was edited is then found, byte for byte. Nothing here believes or checks a
signature; that is `verify_bundle`'s business.
"""
