"""enroll, reset, remove, recovery-codes: people and their authenticators.

enroll.py          the commands
issuing.py         new secrets and recovery codes
hashing.py         recovery codes, hashed on all cores
given_secret.py    the secret of a token that was made elsewhere
handover.py        show them, and see that the app works
clocks.py          a wrong clock told from a wrong code
otpauth.py         otpauth:// URIs
qr.py              QR codes, as lines of text and as pictures
entries.py         the names that an app shows, none of them twice
terminal.py        what a terminal can show of a QR code
picture_option.py  --qr, and the file that it may name
"""
