"""Codes for a service, on and off, without locking anybody out.

uses.py            whether somebody has used a code since
enabled.py         which services are on, so that one that is lost is noticed
readiness.py       what has to be in order first
reached.py         which other services read the changed lines
planning.py        which files change, and into what
blocks.py          our lines in such a file
sshd_files.py      sshd's PAM file and drop-in, in an order without a gap
spares.py          room on the disk for taking our lines out again
trial_record.py    the record of a trial on disk
trial.py           what waits for a confirmation, and its end
automatic_undo.py  systemd timer and boot unit, or a watcher and cron
switch.py          switch on, keep, undo: the steps in their order
"""
