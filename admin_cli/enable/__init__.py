"""Codes for a service, on and off, without locking anybody out.

by_key.py          accounts let in by a key alone, and asked again
exempted.py        the exemptions of such a trial, undone
imported.py        people whom a trial has imported, and forgets
uses.py            whether anyone has logged in with a code since
enabled.py         the enabled services, so that doctor notices a lost one
readiness.py       what a code needs before a service asks for one
reached.py         other services that include the changed files
planning.py        the files that change, and their new text
blocks.py          our lines in those files
sshd_files.py      sshd's PAM file and drop-in, restored without a gap; whether they are in force
spares.py          reserved disk space for removing our lines
trial_record.py    the record of a trial on disk
trial.py           a change that is undone unless confirmed
automatic_undo.py  systemd timer and boot unit, or a watcher and cron
switch.py          enable, confirm, revert, disable: their steps in order
"""
