"""enable, disable, confirm, revert: codes for a service, without locking anybody out.

enabling.py      enable, disable
confirming.py    confirm, revert
readiness.py     what has to be in order first
reached.py       which other services come to the changed lines
planning.py      which files change, and into what
switch.py        switch on, keep, put back: the steps in their order
outcome.py       what holds after a command that failed
trial.py         what waits for a confirmation, and its end
sshd_files.py    sshd's PAM file and drop-in, in an order without a gap
trial_record.py  the record of it on disk
uses.py          whether somebody has used a code since
arming.py        who puts it back in time
files.py         replace a file of /etc, and keep the original
spares.py        room on the disk for taking our lines out again
blocks.py        our lines in such a file
enabled.py       which services totpctl has switched on
pam_file.py      the code in a PAM file, put in after the password step
pam_blocks.py    our lines in a PAM file, and how they come out
pam_copy.py      a password step copied into them
"""
