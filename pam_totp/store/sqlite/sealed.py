"""A store's file with the key that opens its secrets, also while somebody changes that key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from ...system.errors import SealingError
from .. import sealing
from ..sealing import DECOY_KEY
from .batch import Batch

if TYPE_CHECKING:
    from ..sealing import Sealer
    from .database import Database

_KEY_READS = 5  # each after a rotation that was finished since the one before


class SealedDatabase:
    """``database``, and the keys of the file beside the configuration.

    At any moment the key file holds the key that the store names, and that of each secret: so
    a process that meets another key than those of the file reads the file again. Inside a
    transaction that writes, no rotation can overtake that.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self.database = database
        self.sealer = sealer
        self.joined = Batch(database)
        self._at_first, self._sealed_decoy_key = self._key_in_force()
        self._decoy_key = self.open_decoy_key()  # the same under every sealing key

    @classmethod
    def over(cls, database: Database, sealer: Sealer) -> Self:
        """Return what is in the file of ``database``, which is closed with it."""
        try:
            return cls(database, sealer)
        except BaseException:
            database.close()
            raise

    def is_sealed_by(self, key_id: object, decoy_key: object) -> bool:
        """Tell whether decoy() is right where meta has ``key_id`` and ``decoy_key``; now it is.

        They change with a rotation, or with a backup that is read into the file. Raises
        SealingError where the key file does not hold that key.
        """
        if decoy_key == self._sealed_decoy_key and self.sealer.named(key_id) is not None:
            return True
        self._at_first, self._sealed_decoy_key = self._key_in_force()
        before, self._decoy_key = self._decoy_key, self.open_decoy_key()
        return before == self._decoy_key

    def seal(self, secret: bytes, *fields: str) -> bytes:
        """Seal with the key that the store names. Inside a transaction that writes, that stays."""
        sealer, _ = self._key_in_force()
        return sealer.seal(secret, *fields)

    def unseal(self, envelope: bytes, *fields: str) -> bytes:
        """See Sealer.open: with the keys of the file as it is now."""
        if self.sealer.named(sealing.key_id_of(envelope)) is None:
            self._read_key_file_again()
        return self.sealer.open(envelope, *fields)

    def decoy(self, purpose: bytes, name: str) -> bytes:
        """Return 32 bytes for a name without a record. They outlast every sealing key."""
        return sealing.decoy(self._decoy_key, purpose, name)

    def open_decoy_key(self) -> bytes:
        """Open the key of the decoys. Raises StoreCorrupt where it does not open."""
        try:
            return self._at_first.open(self._sealed_decoy_key, *DECOY_KEY)
        except SealingError:
            raise self.database.corrupt("holds a decoy key that does not open") from None

    def _key_in_force(self) -> tuple[Sealer, bytes]:
        """Return the key that the store names, and its sealed key of decoys."""
        for _ in range(_KEY_READS):
            meta = dict(self.database.execute("SELECT key, value FROM meta"))
            if "sealing_key_id" not in meta:
                raise self.database.corrupt("names no sealing key")
            if "decoy_key" not in meta:
                raise self.database.corrupt("holds no decoy key")
            if not all(isinstance(value, bytes) for value in meta.values()):
                raise self.database.not_ours()
            found = self.sealer.named(meta["sealing_key_id"])
            if found is not None:
                return found, meta["decoy_key"]
            if not self._read_key_file_again():
                break
        raise SealingError(
            self.sealer.path,
            f"is key {self.sealer.key_id.hex()}, but {self.database.path} is sealed with another: "
            f"key {meta['sealing_key_id'].hex()}",
            "restore the sealing key from the same backup as the store",
        )

    def _read_key_file_again(self) -> bool:
        """Tell whether it holds other keys now."""
        before, self.sealer = self.sealer, sealing.read_sealer(self.sealer.path)
        return before.key_file() != self.sealer.key_file()
