"""totpctl, the command that looks after the store. One file a group of commands.

main.py        the command line: the group and its global options
ui.py          every rule of output, errors and exit codes
session.py     configuration, key and store of one run
enrolment.py   enroll, reset, remove, recovery-codes
issuing.py     new secrets and recovery codes
handover.py    show them, see that the app works
clocks.py      a wrong clock told from a wrong code
state.py       unlock, suspend, resume
rollout.py     require, exempt, for people
group_rules.py the same for the members of a group
policy.py      what holds at a login, in words
reports.py     list, show, verify
setup.py       init, selftest
selftest.py    the installed chain, tried through libpam
otpauth.py     otpauth:// URIs
qr.py          a QR code on a terminal
"""
