"""enroll, reset, remove, recovery-codes: people and their authenticators.

enroll.py    the commands
issuing.py   new secrets and recovery codes
handover.py  show them, and see that the app works
clocks.py    a wrong clock told from a wrong code
otpauth.py   otpauth:// URIs
qr.py        a QR code on a terminal
"""
