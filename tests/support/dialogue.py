"""What a test says and hears at a terminal, whatever pexpect has at the other end."""

from __future__ import annotations

from pexpect import EOF, spawnbase


class Dialogue(spawnbase.SpawnBase):
    def answer(self, prompt: str, text: str) -> None:
        """Wait for ``prompt``, exactly as it stands, and type ``text``."""
        self.expect_exact(prompt)
        self.sendline(text)

    def rest(self) -> str:
        """Return what is shown from here to the end."""
        self.expect(EOF)
        shown: str = self.before
        return shown
