"""One login, from the user's name to PAM's return code.

flow.py          the login as a checklist, a generator; the only file that knows PAM's codes
steps.py         what it yields, what it is sent, and what a driver is
conversation.py  prompts and messages: where something can be said at all
first_login.py   enrollment during a login: what is shown, asked and kept
remembered_places.py  where a login comes from, as far as that may be remembered
new_authenticator.py  a new secret, shown and confirmed by its first code
new_phone.py     the offer of a new phone after a login with a recovery code
own_refusals.py  why self-service does not do what somebody asked
self_service.py  people look at their own enrollment, and change it
messages.py      what a person reads at the prompt
texts.py         a sentence in English, and how it is said in another language
driver.py        performs the steps on this machine, each at once
fleet.py         who of them the database of a fleet is asked for, and for how long
in_process.py    a driver for pam_python; that of pam_totp.so is in service/
hashing.py       one recovery code is hashed at a time
identity.py      accounts: what the directory says of a name
membership.py    which groups an account is in, within a bounded time
picture.py       the QR code, drawn by a program of its own
"""
