"""Private keys in a folder of the node: ``folder`` keeps the files, ``holders`` use the keys."""

from callpoint.adapters.keys.files.folder import (
    KeyUse,
    PublicKeys,
    create_keys,
    promote_key,
    public_keys,
    stage_key,
    staged_key,
)
from callpoint.adapters.keys.files.holders import (
    AgeSealer,
    Ed25519Verifier,
    FileLogSigner,
    FileTokenSigner,
    FileVault,
    HandoverSigner,
)

__all__ = [
    "AgeSealer",
    "Ed25519Verifier",
    "FileLogSigner",
    "FileTokenSigner",
    "FileVault",
    "HandoverSigner",
    "KeyUse",
    "PublicKeys",
    "create_keys",
    "promote_key",
    "public_keys",
    "stage_key",
    "staged_key",
]
