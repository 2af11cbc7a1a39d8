"""Codes, users, and what is decided about them. Everything here is pure.

otp.py         HOTP and TOTP (RFC 4226, RFC 6238)
recovery.py    recovery codes: format, normalize, hash, match
one_answer.py  password and code in one answer, split
pasted.py      an answer with dashes, spaces and digits of Unicode, in ASCII
users.py       the user model: records, authenticators, statuses
verifier.py    verify() -> Verdict: which answer is right, replay, throttling
clock_skew.py  which wrong clock a wrong code belongs to
resynchronisation.py  a clock or counter that was lost, found by two codes in a row
own_changes.py what people change of their own enrollment, and what they are told of it
enrollment.py  what is issued, and how its first code is judged
admission.py   which accounts are asked, skipped, enrolled or denied
hashes.py      HMAC and constant-time comparison, without OpenSSL
places.py      where somebody has logged in from: which places are known
addresses.py   addresses of the network, each in one form
networks.py    networks that an administrator names
remembering.py  remembered places: where a code was right some hours ago
trusted_places.py  networks and consoles where nobody is asked
dates.py       days as people write them, and when they end
"""
