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
enabling.py    enable, disable, confirm, revert
readiness.py, switching.py
               what has to be in order first; which files change, and into what
switch.py      switch on, keep, put back: the steps in their order
trial.py, trial_record.py, arming.py
               what waits for a confirmation; its record; who puts it back in time
files.py       replace a file of /etc, and keep the original
blocks.py      our lines in such a file
people.py      who would be shut out
accounts.py    who has a shell, a password, keys
sudoers.py     whom sudo lets become root
sshd.py        what sshd has in force, and which line put it there
sshd_drop_in.py, sshd_files.py, sshd_command.py, sshd_process.py, sshd_access.py
               our drop-in; sshd_config, sshd -T, the running sshd; whom sshd lets in
pam_file.py    the code in a PAM file, put in after the password step
pam_blocks.py, pam_copy.py
               our lines, and how they come out; a password step copied into them
programs.py    run another program, without the caller's environment
setup.py       init, selftest
selftest.py    the installed chain, tried through libpam
otpauth.py     otpauth:// URIs
qr.py          a QR code on a terminal
"""
