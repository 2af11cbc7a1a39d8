"""Read and write the machine. Nothing here knows a command, a trial or a check.

programs.py        run another program, without the caller's environment
signals.py         what must not be cut off half-way
login_programs.py  programs that cannot ask for a code
accounts.py        who has a shell, a password, keys
directory.py       people and groups, by files and a directory that may hang
birth.py           when a file was made
sudoers.py         whom sudo lets become root
fleet_units.py     the network that a fleet's host needs, let into the sandbox
settings_file.py   pam_totp.conf as text: one key of it set
files.py           replace a file of /etc, and keep the original
secret_folder.py   a folder of files for root alone
services.py        the PAM services, and what each does about codes
key_only.py        accounts that sshd lets in by a key alone: our file of Match blocks
pam_file.py        the code in a PAM file, put in after the password step
pam_blocks.py      our lines in a PAM file, and how they come out
other_modules.py   lines of the modules that people move from
pam_migration.py   our lines in their place
alternatives.py    the modules that are a second factor in the place of the code
pam_copy.py        a password step copied into them
units.py           what systemd says of units
doctor_timer.py    whether doctor's timer runs
listeners.py       which processes listen on a Unix socket
sshd/              what sshd has in force, which line put it there, and a reload
"""
