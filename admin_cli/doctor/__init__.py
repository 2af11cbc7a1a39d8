"""What doctor looks at: every way in which two-factor logins are broken or bypassed.

    finding.py        what a check is, and what it reports
    facts.py          what they look at, each read once
    examination.py    all checks, and what they find together
    store_room.py     whether the store's files have the room that logins will need
    service_state.py  whether a service asks for a code, in a word
    spelling.py       our module's name, mistyped

    The checks: pam.py, modules.py, ownership.py, passwords.py, changes.py, sshd.py, sudo.py,
    store.py, clock.py, fleet.py, people.py, records.py, service.py, self_service.py,
    schedule.py

docs/reference/doctor.md describes each of them.
"""
