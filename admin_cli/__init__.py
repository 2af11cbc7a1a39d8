"""totpctl, the command that looks after the store. One file a group of commands.

main.py         the command line: the group and its global options
ui.py           every rule of output, errors and exit codes
session.py      configuration, key and store of one run
programs.py     run another program, without the caller's environment
units.py        what systemd says of units
setup.py        init, selftest
rotation.py     rotate-key
selftest.py     the installed chain, tried through libpam
state.py        unlock, suspend, resume, rebind
reports.py      list, show, verify
rollout.py      require, exempt, for people
group_rules.py  the same for the members of a group
policy.py       what holds at a login, in words
status.py       status: what is on, and for whom
doctor.py       doctor; what it looks at is in checks/
store_room.py   whether the files of the store have the room that logins will need
daily_doctor.py whether doctor looks every day

enrolment/      enroll, reset, remove, recovery-codes
switching/      enable, disable, confirm, revert
sshd/           what sshd has in force, and which line put it there
access/         who can get in: accounts, keys, sudo
completion/     what a shell offers at Tab
checks/         every way in which two-factor logins are broken or bypassed

Each folder's __init__.py says which file holds which concept.
"""
