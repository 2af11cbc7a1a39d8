"""One login, from the user's name to PAM's return code.

flow.py          the login as a checklist; the only file that knows PAM's codes
identity.py      who logs in, by the application and by the directory
membership.py    which groups an account is in, within a bounded time
conversation.py  prompts and messages, and what can come back
messages.py      what a person reads at the prompt
decision.py      the critical section: read, judge, write, commit
first_login.py   enrollment during a login: what is shown, asked and kept
picture.py       the QR code, drawn by a program of its own
"""
