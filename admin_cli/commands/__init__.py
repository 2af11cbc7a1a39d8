"""The command line, a file a noun.

arguments.py    arguments and options that several commands take
enrollment/     enroll, reset, remove, recovery-codes
state.py        unlock, suspend, resume, rebind
reports.py      list, show, verify
rollout.py      require, exempt, for people
group_rules.py  the same for the members of a group
setup.py        init, selftest
rotation.py     rotate-key
enabling.py     enable, disable
confirming.py   confirm, revert
outcome.py      what applies after a command that failed
status.py       status: what is on, and for whom
doctor.py       doctor
"""
